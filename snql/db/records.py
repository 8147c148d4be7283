"""Writing what a run read and wrote: models, prompts, neuron sets, variants and completions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.tables import insert, insert_new, next_values, now, replace
from snql.generation.types import Completion
from snql.neurons.sets import NeuronSet, Shape
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class ModelRecord:
    """A model as ``models`` and ``adapters`` hold it. notes: what runs with it say and
    keep; remarks: what they only say."""

    model_id: str
    spec: str
    base: str
    base_files: dict[str, str]
    base_sha256: str
    architecture: str
    n_layers: int
    n_neurons: int
    adapters: tuple["AdapterRecord", ...]
    notes: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class AdapterRecord:
    """An adapter as ``adapters`` holds it."""

    adapter_id: str
    path: str
    peft_type: str
    config: str
    files: dict[str, str]


@dataclass(frozen=True)
class Variant:
    """One way of generating in a run. ``control_of`` is the variant_id whose random control this is.

    control_kind: ``matched``, ``magnitude`` or ``anywhere``. route: ``total`` or ``direct`` in a run by both.
    """

    variant_id: int
    name: str
    role: str
    neurons: str | None = None
    members: NeuronSet | None = None
    control_of: int | None = None
    control_seed: int | None = None
    control_kind: str | None = None
    route: str | None = None


def write_models(connection: duckdb.DuckDBPyConnection, run_id: int, models: Mapping[str, ModelRecord]) -> None:
    """Record the models of a run by role; models and adapters that are already known stay as they are."""
    found = list(models.values())
    elsewhere = ("adapters", "notes", "remarks")
    rows = [{name: value for name, value in vars(model).items() if name not in elsewhere} for model in found]
    for row, model in zip(rows, found, strict=True):
        row |= {"base_files": json.dumps(model.base_files), "adapter_ids": [each.adapter_id for each in model.adapters]}
    adapters = [vars(each) | {"files": json.dumps(each.files)} for model in found for each in model.adapters]
    insert_new(connection, "models", rows)
    insert_new(connection, "adapters", adapters)
    roles = [{"role": role, "model_id": model.model_id} for role, model in models.items()]
    replace(connection, "run_models", roles, run_id=run_id)


def write_prompts(
    connection: duckdb.DuckDBPyConnection, run_id: int, prompts: Sequence[Prompt], batches: Sequence[int] | None = None
) -> list[int]:
    """Record the run's prompts in order; return their ids. A text gets one id per data set.

    batches: the batch that each prompt is in, for a run that has a plan.
    """
    keys = [(prompt.dataset, prompt.sha256) for prompt in prompts]
    known = connection.execute(
        "SELECT dataset, sha256, prompt_id FROM prompts WHERE sha256 IN (SELECT unnest($1::VARCHAR[]))",
        [[sha256 for _, sha256 in keys]],
    ).fetchall()
    ids = {(dataset, sha256): prompt_id for dataset, sha256, prompt_id in known}
    new = {key: prompt for key, prompt in zip(keys, prompts, strict=True) if key not in ids}
    ids |= dict(zip(new, next_values(connection, "prompt_ids", len(new)), strict=True))
    columns = ("text", "category", "label")
    rows = [{name: getattr(prompt, name) for name in columns} for prompt in new.values()]
    for row, (dataset, sha256) in zip(rows, new, strict=True):
        row |= {"prompt_id": ids[dataset, sha256], "dataset": dataset, "sha256": sha256}
    insert(connection, "prompts", rows)
    given = [
        {
            "prompt_id": ids[key],
            "ordinal": ordinal,
            "formatted": prompt.formatted,
            "input_ids": prompt.input_ids,
            "batch": batches[ordinal] if batches else None,
        }
        for ordinal, (key, prompt) in enumerate(zip(keys, prompts, strict=True))
    ]
    replace(connection, "run_prompts", given, run_id=run_id)
    return [ids[key] for key in keys]


def save_set(connection: duckdb.DuckDBPyConnection, members: NeuronSet) -> int:
    """Save a neuron set with its members, once; return its id."""
    found = connection.execute("SELECT set_id FROM neuron_sets WHERE sha256 = ?", [members.sha256]).fetchall()
    if found:
        return int(found[0][0])
    (set_id,) = next_values(connection, "set_ids", 1)
    row = {"set_id": set_id, "sha256": members.sha256, "n_neurons": len(members), "created_at": now()}
    insert(connection, "neuron_sets", [row])
    frame = pl.DataFrame({"layer": members.layers, "expert": members.experts, "neuron": members.neurons})
    insert(connection, "neuron_set_members", frame, set_id=set_id)
    return set_id


def read_set(db: Database, set_id: int, shape: Shape) -> NeuronSet:
    """The members of a saved neuron set of a model of that shape."""
    members = db.rows("SELECT layer, expert, neuron FROM neuron_set_members WHERE set_id = ?", [set_id])
    return NeuronSet.of(shape, members)


def write_variants(connection: duckdb.DuckDBPyConnection, run_id: int, variants: Iterable[Variant]) -> None:
    """Record a run's variants with the members of their neuron sets."""
    replace(connection, "variants", [_variant_row(connection, variant) for variant in variants], run_id=run_id)


def _variant_row(connection: duckdb.DuckDBPyConnection, variant: Variant) -> dict[str, object]:
    row = {name: value for name, value in vars(variant).items() if name != "members"}
    if (members := variant.members) is None:
        return row | dict.fromkeys(("set_id", "n_neurons", "fraction"))
    set_id = save_set(connection, members)
    return row | {"set_id": set_id, "n_neurons": len(members), "fraction": len(members) / members.shape.size}


def read_models(db: Database, run_id: int) -> dict[str, str]:
    """The model_id of each role of a run."""
    return dict(db.rows("SELECT role, model_id FROM run_models WHERE run_id = ?", [run_id]))


def read_adapter_ids(db: Database, run: str) -> frozenset[str]:
    """The adapters of all models of a locate run."""
    return frozenset(adapter_id for (adapter_id,) in db.rows(scripts.query("adapters_of_run"), {"run": run}))


def read_set_hashes(db: Database, run_id: int) -> dict[str, str | None]:
    """The hash of each variant's neuron set by the variant's name."""
    query = "SELECT name, sha256 FROM variants LEFT JOIN neuron_sets USING (set_id) WHERE run_id = ?"
    return dict(db.rows(query, [run_id]))


@dataclass(frozen=True)
class CompletionRow:
    """A completion of one variant for one prompt, with its text.

    donor_ids, unpatched_ids: a token for each step, what unpatched models would have written; None where not known.
    """

    variant_id: int
    prompt_id: int
    text: str
    completion: Completion
    sample: int = 0
    donor_ids: Sequence[int] | None = None
    unpatched_ids: Sequence[int] | None = None


def write_completions(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[CompletionRow]) -> None:
    """Insert completions of a run."""
    flat = [vars(row) | vars(row.completion) for row in rows]
    for each in flat:
        del each["completion"]
    insert(connection, "completions", flat, run_id=run_id)


def write_given(
    connection: duckdb.DuckDBPyConnection,
    run_id: int,
    prompt_ids: Sequence[int],
    given: Sequence[tuple[str, Completion]],
) -> None:
    """Insert completions that no model of the run wrote, as those of its first variant."""
    pairs = zip(prompt_ids, given, strict=True)
    write_completions(connection, run_id, [CompletionRow(0, number, text, found) for number, (text, found) in pairs])


def n_completions(db: Database, run_id: int) -> int:
    """How many completions a run has."""
    ((number,),) = db.rows("SELECT count(*) FROM completions WHERE run_id = ?", [run_id])
    return int(number)


def all_write_the_same(db: Database, run_id: int, variant_ids: Sequence[int]) -> bool:
    """Whether these variants have the same completion, token by token, of every prompt and sample."""
    query = """
        SELECT prompt_id FROM completions WHERE run_id = ? AND variant_id IN (SELECT unnest(?))
        GROUP BY prompt_id, sample HAVING count(DISTINCT token_ids) > 1 LIMIT 1
        """
    return not db.rows(query, [run_id, list(variant_ids)])


def read_tokens(
    db: Database, run_id: int, variant_id: int, prompt_ids: Sequence[int]
) -> dict[tuple[int, int], tuple[int, ...]]:
    """What a variant has written for these prompts, by (prompt_id, sample)."""
    query = """
        SELECT prompt_id, sample, token_ids FROM completions
        WHERE run_id = ? AND variant_id = ? AND prompt_id IN (SELECT unnest(?))
        """
    rows = db.rows(query, [run_id, variant_id, list(prompt_ids)])
    return {(prompt_id, sample): tuple(ids) for prompt_id, sample, ids in rows}


def completed(db: Database, run_id: int, prompt_ids: Sequence[int]) -> set[tuple[int, int, int]]:
    """Which completions of these prompts a run has: (variant_id, prompt_id, sample)."""
    query = "SELECT variant_id, prompt_id, sample FROM completions WHERE run_id = ? AND prompt_id IN (SELECT unnest(?))"
    return set(db.rows(query, [run_id, list(prompt_ids)]))
