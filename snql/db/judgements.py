"""Scores of completions and the effects computed from them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.base import JudgeInfo
from snql.stats.controls import ControlEffect
from snql.stats.effects import Effect

POOLED = "*"
"""Name of the pooled data set in ``effects`` of a run with several."""


@dataclass(frozen=True)
class ControlRow:
    """What a set has over its controls of one kind, and what it is of."""

    variant_id: int
    judge: str
    dataset: str
    control_kind: str
    found: ControlEffect


@dataclass(frozen=True)
class EffectRow:
    """An effect and what it is of."""

    variant_id: int
    judge: str
    dataset: str
    effect: Effect


def unjudged(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """Completions of a run that the judge has not scored, in order.

    Columns: variant_id, prompt_id, sample, prompt, completion.
    """
    return db.frame(
        """
        SELECT c.variant_id, c.prompt_id, c.sample, p.text AS prompt, c.text AS completion
        FROM completions AS c JOIN prompts AS p USING (prompt_id)
        WHERE c.run_id = $1 AND NOT EXISTS (
            FROM judgements AS j
            WHERE j.run_id = c.run_id AND j.variant_id = c.variant_id AND j.prompt_id = c.prompt_id
            AND j.sample = c.sample AND j.judge = $2
        )
        ORDER BY c.variant_id, c.prompt_id, c.sample
        """,
        [run_id, judge],
    )


def check_judges(db: Database, judges: Iterable[JudgeInfo]) -> None:
    """Raise InputError if scores by another version of one of the judges are in the database."""
    known = dict(db.rows("SELECT judge, version FROM judges")) if db.path.exists() else {}
    for judge in judges:
        _check_version(judge, known.get(judge.name))


def _check_version(judge: JudgeInfo, known: str | None) -> None:
    if known is not None and known != judge.version:
        raise InputError(
            f"judge {judge.name!r} has scored in this database with other files (version {known}, now "
            f"{judge.version}): its scores would not compare; use another database or name for it"
        )


def write_judge(connection: duckdb.DuckDBPyConnection, judge: JudgeInfo) -> None:
    """Record a judge. Raises InputError if scores by another version of it are in the database."""
    known = connection.execute("SELECT version FROM judges WHERE judge = ?", [judge.name]).fetchall()
    _check_version(judge, known[0][0] if known else None)
    if not known:
        connection.execute(
            "INSERT INTO judges VALUES (?, ?, ?, ?)",
            [judge.name, judge.kind, judge.version, json.dumps(judge.settings)],
        )


def write_judgements(
    connection: duckdb.DuckDBPyConnection,
    run_id: int,
    judge: JudgeInfo,
    scores: pl.DataFrame,
) -> None:
    """Insert a judge's scores: variant_id, prompt_id, sample, score."""
    write_judge(connection, judge)
    connection.register("new_scores", scores.select("variant_id", "prompt_id", "sample", "score"))
    connection.execute(
        """
        INSERT INTO judgements BY NAME
        SELECT ? AS run_id, variant_id, prompt_id, sample, ? AS judge, score FROM new_scores
        """,
        [run_id, judge.name],
    )
    connection.unregister("new_scores")


def scores_by_variant(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """One row per prompt (dataset, prompt_id, in order), one column of mean scores over samples per variant_id."""
    frame = db.frame(
        """
        SELECT p.dataset, j.prompt_id, j.variant_id, avg(j.score ORDER BY j.sample) AS score
        FROM judgements AS j JOIN prompts AS p USING (prompt_id)
        WHERE j.run_id = ? AND j.judge = ?
        GROUP BY ALL
        ORDER BY j.prompt_id, j.variant_id
        """,
        [run_id, judge],
    )
    return frame.pivot(on="variant_id", index=["dataset", "prompt_id"], values="score").sort("prompt_id")


def write_effects(
    connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[EffectRow], controls: Sequence[ControlRow]
) -> None:
    """Replace the run's effects under the judges of ``rows``, and what sets have over their controls."""
    flat = {
        "effects": [_flat(run_id, row) for row in rows],
        "control_effects": [_flat_control(run_id, c) for c in controls],
    }
    for table, records in flat.items():
        for judge in {row.judge for row in rows}:
            connection.execute(f"DELETE FROM {table} WHERE run_id = ? AND judge = ?", [run_id, judge])  # noqa: S608
        if records:
            connection.register("new_effects", pl.DataFrame(records, infer_schema_length=None))
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM new_effects")  # noqa: S608
            connection.unregister("new_effects")


def _flat(run_id: int, row: EffectRow) -> dict[str, object]:
    e = row.effect
    ratio, gap = e.effect, e.gap
    return {
        "run_id": run_id,
        "variant_id": row.variant_id,
        "judge": row.judge,
        "dataset": row.dataset,
        "n_prompts": e.n_prompts,
        "mean_recipient": e.mean_recipient,
        "mean_donor": e.mean_donor,
        "mean_patched": e.mean_patched,
        "gap": None if gap is None else gap.value,
        "gap_ci_low": None if gap is None else gap.low,
        "gap_ci_high": None if gap is None else gap.high,
        "change": e.change.value,
        "change_ci_low": e.change.low,
        "change_ci_high": e.change.high,
        "effect": None if ratio is None else ratio.value,
        "ci_low": None if ratio is None else ratio.low,
        "ci_high": None if ratio is None else ratio.high,
        "confidence": e.confidence,
        "resamples": e.resamples,
        "seed": e.seed,
    }


def _flat_control(run_id: int, row: ControlRow) -> dict[str, object]:
    found, ratio = row.found, row.found.effect
    return {
        "run_id": run_id,
        "variant_id": row.variant_id,
        "judge": row.judge,
        "dataset": row.dataset,
        "control_kind": row.control_kind,
        "n_controls": found.n_controls,
        "n_prompts": found.n_prompts,
        "mean_controls": found.mean_controls,
        "difference": found.difference.value,
        "difference_ci_low": found.difference.low,
        "difference_ci_high": found.difference.high,
        "t": found.t,
        "t_p_value": found.t_p_value,
        "permutation_p_value": found.permutation_p_value,
        "permutations": found.permutations,
        "effect_difference": None if ratio is None else ratio.value,
        "effect_difference_ci_low": None if ratio is None else ratio.low,
        "effect_difference_ci_high": None if ratio is None else ratio.high,
        "confidence": found.confidence,
        "resamples": found.resamples,
        "seed": found.seed,
    }
