"""What runs a database has: listing, describing and deleting them."""

import polars as pl

from snql.db import prompts, runs, scripts, storage
from snql.db.connection import Database
from snql.errors import InputError

_COUNTED = (
    *("variants", "completions", "neuron_statistics", "judgements", "effects", "text_windows", "divergences"),
    *("task_results", "task_samples", "guard_classifiers", "guard_probabilities", "lens_vectors"),
)
"""Tables whose rows :func:`describe_run` counts, by their names: those in which a kind of run has its results."""


def list_runs(db: Database) -> pl.DataFrame:
    """One row per run, in order of their start; ``progress`` of one that is not done, such as ``keep 8/200``."""
    return db.frame(scripts.query("runs"))


def describe_run(db: Database, name: str, kind: str | None = None) -> pl.DataFrame:
    """Everything recorded about one run, as rows of (key, value); raises InputError if there is no such run."""
    run_id, kind = find(db, name, kind)
    counted = " UNION ALL ".join(
        f"SELECT 'rows.{table}' AS key, count(*)::VARCHAR AS value FROM {table} WHERE run_id = $run_id"  # noqa: S608
        for table in _COUNTED
    )
    with db.reading():
        facts = db.frame(scripts.query("run_facts"), {"run_id": run_id})
        counts = db.frame(counted, {"run_id": run_id})
    numbers = counts.with_columns(part=pl.lit(4, pl.Int32))
    return pl.concat([facts, numbers.select(facts.columns)]).sort("part", "key").drop("part")


def prompts_of_run(db: Database, name: str, kind: str | None = None) -> pl.DataFrame:
    """One row per prompt of a run, in order, with the exact text and token ids; raises InputError for no such run."""
    run_id, _ = find(db, name, kind)
    return prompts.given_prompts(db, run_id)


def remove_run(db: Database, name: str, kind: str | None = None) -> str:
    """Delete a run with all its rows and files; return its kind.

    Raises InputError if there is no such run, or if another process is working on it.
    """
    run_id, kind = find(db, name, kind)
    with db.write() as connection:
        runs.check_idle(connection, run_id)
        runs.delete_run(connection, run_id)
    storage.remove_files(db.path, run_id)
    return kind


def find(db: Database, name: str, kind: str | None) -> tuple[int, str]:
    """Id and kind of a run; raises InputError if there is none, or one of each kind and none is named."""
    found = db.rows(
        "SELECT run_id, kind FROM runs WHERE name = $1 AND kind = coalesce($2, kind) ORDER BY kind",
        [name, kind],
    )
    if not found:
        what = f"{kind} run" if kind else "run"
        raise InputError(f"no {what} {name!r} in {db.path}: `snql runs` lists those it has")
    if len(found) > 1:
        kinds = " and ".join(found_kind for _, found_kind in found)
        raise InputError(f"{kinds} runs are both named {name!r}: say which with `kind`")
    return int(found[0][0]), str(found[0][1])
