"""Writing what a run read and wrote: models, prompts, neuron sets, variants and completions."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.generation.types import Completion
from snql.neurons.sets import NeuronSet, Shape
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class ModelRecord:
    """A model as ``models`` and ``adapters`` hold it."""

    model_id: str
    spec: str
    base: str
    base_files: dict[str, str]
    base_sha256: str
    architecture: str
    n_layers: int
    n_neurons: int
    adapters: tuple["AdapterRecord", ...]


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

    control_kind: ``matched`` or ``anywhere``.
    """

    variant_id: int
    name: str
    role: str
    neurons: str | None = None
    members: NeuronSet | None = None
    control_of: int | None = None
    control_seed: int | None = None
    control_kind: str | None = None


def write_models(connection: duckdb.DuckDBPyConnection, run_id: int, models: Mapping[str, ModelRecord]) -> None:
    """Record the models of a run by role; models and adapters that are already known stay as they are."""
    connection.execute("DELETE FROM run_models WHERE run_id = ?", [run_id])
    for role, model in models.items():
        connection.execute(
            "INSERT OR IGNORE INTO models VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                model.model_id,
                model.spec,
                model.base,
                model.base_sha256,
                json.dumps(model.base_files),
                model.architecture,
                model.n_layers,
                model.n_neurons,
                [adapter.adapter_id for adapter in model.adapters],
            ],
        )
        for adapter in model.adapters:
            connection.execute(
                "INSERT OR IGNORE INTO adapters VALUES (?, ?, ?, ?, ?)",
                [
                    adapter.adapter_id,
                    adapter.path,
                    adapter.peft_type,
                    adapter.config,
                    json.dumps(adapter.files),
                ],
            )
        connection.execute("INSERT INTO run_models VALUES (?, ?, ?)", [run_id, role, model.model_id])


def write_prompts(
    connection: duckdb.DuckDBPyConnection, run_id: int, prompts: Sequence[Prompt], batches: Sequence[int] | None = None
) -> dict[tuple[str, str], int]:
    """Record the run's prompts in order; return their ids by (dataset, sha256). A text gets one id per data set.

    batches: the batch that each prompt is in, for a run that has a plan.
    """
    frame = pl.DataFrame(
        {
            "ordinal": range(len(prompts)),
            "dataset": [prompt.dataset for prompt in prompts],
            "text": [prompt.text for prompt in prompts],
            "sha256": [prompt.sha256 for prompt in prompts],
            "category": pl.Series([prompt.category for prompt in prompts], dtype=pl.String),
            "label": pl.Series([prompt.label for prompt in prompts], dtype=pl.String),
            "formatted": [prompt.formatted for prompt in prompts],
            "input_ids": pl.Series([list(prompt.input_ids) for prompt in prompts], dtype=pl.List(pl.Int32)),
            "batch": pl.Series(batches or [None] * len(prompts), dtype=pl.Int32),
        }
    )
    connection.register("new_prompts", frame)
    connection.execute(
        """
        INSERT INTO prompts BY NAME
        SELECT nextval('prompt_ids')::INTEGER AS prompt_id, dataset, text, sha256, category, label
        FROM (SELECT * FROM new_prompts ORDER BY ordinal) AS n
        WHERE NOT EXISTS (FROM prompts AS p WHERE p.dataset = n.dataset AND p.sha256 = n.sha256)
        """
    )
    connection.execute("DELETE FROM run_prompts WHERE run_id = ?", [run_id])
    connection.execute(
        """
        INSERT INTO run_prompts
        SELECT ?, p.prompt_id, n.ordinal, n.formatted, n.input_ids, n.batch
        FROM new_prompts AS n JOIN prompts AS p USING (dataset, sha256)
        ORDER BY n.ordinal
        """,
        [run_id],
    )
    rows = connection.execute(
        "SELECT dataset, sha256, prompt_id FROM prompts JOIN new_prompts USING (dataset, sha256)"
    ).fetchall()
    connection.unregister("new_prompts")
    return {(dataset, sha256): prompt_id for dataset, sha256, prompt_id in rows}


def save_set(connection: duckdb.DuckDBPyConnection, members: NeuronSet) -> int:
    """Save a neuron set with its members, once; return its id."""
    found = connection.execute("SELECT set_id FROM neuron_sets WHERE sha256 = ?", [members.sha256]).fetchall()
    if found:
        return int(found[0][0])
    ((set_id,),) = connection.execute(
        "INSERT INTO neuron_sets VALUES (nextval('set_ids')::INTEGER, ?, ?, ?) RETURNING set_id",
        [members.sha256, len(members), datetime.now(UTC).replace(tzinfo=None)],
    ).fetchall()
    experts = pl.Series("expert", members.experts, dtype=pl.Int16)
    if members.experts is None:
        experts = pl.Series("expert", [None] * len(members), dtype=pl.Int16)
    frame = pl.DataFrame({"layer": members.layers, "expert": experts, "neuron": members.neurons})
    connection.register("new_members", frame)
    connection.execute("INSERT INTO neuron_set_members SELECT ?, layer, expert, neuron FROM new_members", [set_id])
    connection.unregister("new_members")
    return int(set_id)


def read_set(db: Database, set_id: int, shape: Shape) -> NeuronSet:
    """The members of a saved neuron set of a model of that shape."""
    members = db.rows("SELECT layer, expert, neuron FROM neuron_set_members WHERE set_id = ?", [set_id])
    return NeuronSet.of(shape, members)


def write_variants(connection: duckdb.DuckDBPyConnection, run_id: int, variants: Iterable[Variant]) -> None:
    """Record a run's variants with the members of their neuron sets."""
    connection.execute("DELETE FROM variants WHERE run_id = ?", [run_id])
    for variant in variants:
        members = variant.members
        connection.execute(
            "INSERT INTO variants VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            [
                run_id,
                variant.variant_id,
                variant.name,
                variant.role,
                variant.neurons,
                None if members is None else save_set(connection, members),
                None if members is None else len(members),
                None if members is None else len(members) / members.shape.size,
                variant.control_of,
                variant.control_seed,
                variant.control_kind,
            ],
        )


def read_models(db: Database, run_id: int) -> dict[str, str]:
    """The model_id of each role of a run."""
    return dict(db.rows("SELECT role, model_id FROM run_models WHERE run_id = ?", [run_id]))


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
    ids = pl.List(pl.Int32)
    frame = pl.DataFrame(
        {
            "run_id": pl.Series([run_id] * len(rows), dtype=pl.Int32),
            "variant_id": pl.Series([row.variant_id for row in rows], dtype=pl.Int32),
            "prompt_id": pl.Series([row.prompt_id for row in rows], dtype=pl.Int32),
            "text": pl.Series([row.text for row in rows], dtype=pl.String),
            "sample": pl.Series([row.sample for row in rows], dtype=pl.Int32),
            "token_ids": pl.Series([list(row.completion.token_ids) for row in rows], dtype=ids),
            "donor_ids": pl.Series([_listed(row.donor_ids) for row in rows], dtype=ids),
            "unpatched_ids": pl.Series([_listed(row.unpatched_ids) for row in rows], dtype=ids),
            "finish_reason": pl.Series([row.completion.finish_reason for row in rows], dtype=pl.String),
        }
    )
    connection.register("new_completions", frame)
    connection.execute("INSERT INTO completions BY NAME SELECT * FROM new_completions")
    connection.unregister("new_completions")


def _listed(ids: Sequence[int] | None) -> list[int] | None:
    return None if ids is None else list(ids)


def n_completions(db: Database, run_id: int) -> int:
    """How many completions a run has."""
    ((number,),) = db.rows("SELECT count(*) FROM completions WHERE run_id = ?", [run_id])
    return int(number)


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
