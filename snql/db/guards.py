"""Rows of guard and guard-test runs."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np

from snql.db import records
from snql.db.connection import Database
from snql.db.tables import insert, replace
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape

VECTORS = ("weights", "means", "scales")


@dataclass(frozen=True)
class ClassifierRow:
    """A classifier as ``guard_classifiers`` holds it, with the neurons that it reads."""

    classifier_id: int
    neurons: str
    kind: str
    control_seed: int | None
    members: NeuronSet
    c: float
    n_folds: int
    log_loss: float | None
    converged: bool


@dataclass(frozen=True)
class StoredGuard:
    """A trained guard run: its number, settings and what guard.json says. ``status`` is done."""

    run_id: int
    name: str
    config: dict[str, Any]
    about: dict[str, Any]
    threshold: float


def find_guard(db: Database, name: str) -> StoredGuard:
    """The trained guard of that name; raises InputError if there is none, or if it is not done."""
    found = db.rows(
        """
        SELECT run_id, status, config, about, threshold FROM runs LEFT JOIN guards USING (run_id)
        WHERE kind = 'guard' AND name = ?
        """,
        [name],
    )
    if not found:
        known = [other for (other,) in db.rows("SELECT name FROM runs WHERE kind = 'guard' ORDER BY name")]
        others = f"its guards are {', '.join(known)}" if known else "it has none; train one with `snql guard train`"
        raise InputError(f"no guard {name!r} in {db.path}: {others}")
    run_id, status, config, about, threshold = found[0]
    if status != "done":
        raise InputError(f"guard {name!r} is {status}: finish it with `snql guard train {name} … --resume` first")
    return StoredGuard(
        run_id=run_id, name=name, config=json.loads(config), about=json.loads(about), threshold=threshold
    )


def write_classifiers(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[ClassifierRow]) -> None:
    """Record the classifiers of a run with their neurons, in place of those before."""
    flat: list[dict[str, Any]] = []
    for row in rows:
        values = {name: value for name, value in vars(row).items() if name != "members"}
        flat.append(values | {"set_id": records.save_set(connection, row.members), "n_neurons": len(row.members)})
    replace(connection, "guard_classifiers", flat, run_id=run_id)


def read_classifiers(db: Database, run_id: int, shape: Shape) -> list[ClassifierRow]:
    """The classifiers of a run in order; shape: that of the model."""
    query = "SELECT * EXCLUDE (run_id, n_neurons) FROM guard_classifiers WHERE run_id = ? ORDER BY classifier_id"
    with db.reading():
        rows = db.frame(query, [run_id]).to_dicts()
        return [ClassifierRow(members=records.read_set(db, row.pop("set_id"), shape), **row) for row in rows]


def read_weights(db: Database, run_id: int) -> dict[int, dict[str, Any]]:
    """Weights, means, scales (arrays) and intercept of each classifier of a guard run, by its number."""
    rows = db.rows(
        f"SELECT classifier_id, intercept, {', '.join(VECTORS)} FROM guard_weights WHERE run_id = ?",  # noqa: S608
        [run_id],
    )
    return {
        number: {"intercept": intercept} | {name: np.array(v) for name, v in zip(VECTORS, vectors, strict=True)}
        for number, intercept, *vectors in rows
    }


def write_labels(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[dict[str, Any]]) -> None:
    """Replace the labels of a run: prompt_id, benign, score, label."""
    replace(connection, "guard_labels", rows, run_id=run_id)


def probabilities(db: Database, run_id: int, variant_id: int = 0) -> dict[int, dict[int, float]]:
    """Probabilities by classifier and prompt, from one model's activations."""
    found: dict[int, dict[int, float]] = {}
    query = """
        SELECT classifier_id, prompt_id, probability FROM guard_probabilities
        WHERE run_id = ? AND variant_id = ? ORDER BY classifier_id, prompt_id
        """
    for classifier, prompt, probability in db.rows(query, [run_id, variant_id]):
        found.setdefault(classifier, {})[prompt] = probability
    return found


def scores(db: Database, run_id: int, variant_id: int, judge: str) -> dict[int, float | None]:
    """A judge's score of a variant's first completion of each prompt; None where it gave none."""
    query = """
        SELECT prompt_id, score FROM judgements WHERE run_id = ? AND variant_id = ? AND judge = ? AND sample = 0
        """
    return dict(db.rows(query, [run_id, variant_id, judge]))


def texts(db: Database, run_id: int, variant_id: int) -> dict[int, str]:
    """What a variant wrote first, by prompt."""
    query = "SELECT prompt_id, text FROM completions WHERE run_id = ? AND variant_id = ? AND sample = 0"
    return dict(db.rows(query, [run_id, variant_id]))


def texts_read(db: Database, run_id: int) -> set[str]:
    """SHA-256 of the prompt texts of a run."""
    query = "SELECT sha256 FROM run_prompts JOIN prompts USING (prompt_id) WHERE run_id = ?"
    return {sha256 for (sha256,) in db.rows(query, [run_id])}


def write_readers(
    connection: duckdb.DuckDBPyConnection, run_id: int, readers: Sequence[Any], latencies: Sequence[Any]
) -> None:
    """Record what was compared: the neurons of a set, how many numbers are read, and what reading them adds."""
    rows = []
    for reader, added in zip(readers, latencies, strict=True):
        own = {name: getattr(reader, name) for name in ("classifier_id", "neurons", "kind", "control_seed")}
        members = reader.members
        set_id = records.save_set(connection, members) if isinstance(members, NeuronSet) else None
        times = {"added_ms": "milliseconds", "added_ms_low": "low", "added_ms_high": "high"}
        latency = {name: None if added is None else getattr(added, field) for name, field in times.items()}
        rows.append(own | latency | {"set_id": set_id, "n_numbers": len(members)})
    insert(connection, "guard_readers", rows, run_id=run_id)


def write_guard(connection: duckdb.DuckDBPyConnection, run_id: int, threshold: float, about: dict[str, Any]) -> None:
    """Record what guard.json says of a trained guard."""
    insert(connection, "guards", [{"threshold": threshold, "about": json.dumps(about)}], run_id=run_id)
