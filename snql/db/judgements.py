"""Scores of completions and the effects computed from them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.base import JudgeInfo
from snql.stats.effects import Effect

POOLED = "*"
"""Name of the pooled data set in ``effects`` of a run with several."""


@dataclass(frozen=True)
class EffectRow:
    """An effect and what it is of."""

    variant_id: int
    judge: str
    dataset: str
    effect: Effect


def unjudged(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """Completions of a run that the judge has not scored: variant_id, prompt_id, prompt, completion; in order."""
    return db.frame(
        """
        SELECT c.variant_id, c.prompt_id, p.text AS prompt, c.text AS completion
        FROM completions AS c JOIN prompts AS p USING (prompt_id)
        WHERE c.run_id = $1 AND NOT EXISTS (
            FROM judgements AS j
            WHERE j.run_id = c.run_id AND j.variant_id = c.variant_id AND j.prompt_id = c.prompt_id AND j.judge = $2
        )
        ORDER BY c.variant_id, c.prompt_id
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
    completions: pl.DataFrame,
    scores: Sequence[float],
) -> None:
    """Insert a judge's scores of the completions that :func:`unjudged` listed, in the same order."""
    write_judge(connection, judge)
    frame = completions.select("variant_id", "prompt_id").with_columns(pl.Series("score", scores, dtype=pl.Float64))
    connection.register("new_scores", frame)
    connection.execute(
        "INSERT INTO judgements SELECT ?, variant_id, prompt_id, ?, score FROM new_scores",
        [run_id, judge.name],
    )
    connection.unregister("new_scores")


def scores_by_variant(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """One row per prompt (dataset, prompt_id, in order), one column of scores per variant_id."""
    frame = db.frame(
        """
        SELECT p.dataset, j.prompt_id, j.variant_id, j.score
        FROM judgements AS j JOIN prompts AS p USING (prompt_id)
        WHERE j.run_id = ? AND j.judge = ?
        ORDER BY j.prompt_id, j.variant_id
        """,
        [run_id, judge],
    )
    return frame.pivot(on="variant_id", index=["dataset", "prompt_id"], values="score").sort("prompt_id")


def write_effects(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Iterable[EffectRow]) -> None:
    """Replace the run's effects under the judges of ``rows``."""
    rows = list(rows)
    for judge in {row.judge for row in rows}:
        connection.execute("DELETE FROM effects WHERE run_id = ? AND judge = ?", [run_id, judge])
    frame = pl.DataFrame([_flat(run_id, row) for row in rows], infer_schema_length=None)
    connection.register("new_effects", frame)
    connection.execute("INSERT INTO effects BY NAME SELECT * FROM new_effects")
    connection.unregister("new_effects")


def _flat(run_id: int, row: EffectRow) -> dict[str, object]:
    e = row.effect
    ratio = e.effect
    return {
        "run_id": run_id,
        "variant_id": row.variant_id,
        "judge": row.judge,
        "dataset": row.dataset,
        "n_prompts": e.n_prompts,
        "mean_recipient": e.mean_recipient,
        "mean_donor": e.mean_donor,
        "mean_patched": e.mean_patched,
        "gap": e.gap.value,
        "gap_ci_low": e.gap.low,
        "gap_ci_high": e.gap.high,
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
