"""Scores of completions and the effects computed from them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.base import WORSE, JudgeInfo
from snql.stats.controls import ControlEffect
from snql.stats.effects import Effect

_IDENTITY = "version, settings ->> '$.higher_is'"
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
    rows = db.rows(f"SELECT judge, {_IDENTITY} FROM judges") if db.path.exists() else []  # noqa: S608
    known = {name: (version, higher_is) for name, version, higher_is in rows}
    for judge in judges:
        _check_version(judge, known.get(judge.name))


def _check_version(judge: JudgeInfo, known: tuple[str, str] | None) -> None:
    if known is None:
        return
    version, higher_is = known
    sign = judge.settings.get("higher_is", WORSE)
    if (higher_is or WORSE) != sign:
        raise InputError(
            f"judge {judge.name!r} has scored in this database as one whose high scores are {higher_is or WORSE}, not "
            f"{sign}: leave --judge-sign as it was, or use another database"
        )
    if version != judge.version:
        raise InputError(
            f"judge {judge.name!r} has scored in this database with other files (version {version}, now "
            f"{judge.version}): its scores would not compare; use another database or name for it"
        )


def write_judge(connection: duckdb.DuckDBPyConnection, judge: JudgeInfo) -> None:
    """Record a judge. Raises InputError if scores by another version of it are in the database."""
    query = f"SELECT {_IDENTITY} FROM judges WHERE judge = ?"  # noqa: S608
    known = connection.execute(query, [judge.name]).fetchall()
    _check_version(judge, known[0] if known else None)
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
    """Insert a judge's verdicts: variant_id, prompt_id, sample, score, label, problem."""
    write_judge(connection, judge)
    connection.register("new_scores", scores.select("variant_id", "prompt_id", "sample", "score", "label", "problem"))
    connection.execute(
        """
        INSERT INTO judgements BY NAME
        SELECT ? AS run_id, variant_id, prompt_id, sample, ? AS judge, score, label, problem FROM new_scores
        """,
        [run_id, judge.name],
    )
    connection.unregister("new_scores")


def scores_by_variant(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """One row per prompt (dataset, prompt_id, in order), one column of mean scores over samples per variant_id.

    Samples without a score are left out of the mean; NULL where none has one.
    """
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


def counts(db: Database, run_id: int, judge: str) -> tuple[int, int, int]:
    """Completions of a run; those of them the judge was asked about; those it gave no score."""
    query = """
        SELECT (SELECT count(*) FROM completions WHERE run_id = $1), count(*), count(*) - count(score)
        FROM judgements WHERE run_id = $1 AND judge = $2
        """
    ((completions, judged, missing),) = db.rows(query, [run_id, judge])
    return completions, judged, missing


def forget(connection: duckdb.DuckDBPyConnection, run_id: int, judge: str, *, missing_only: bool) -> None:
    """Delete a judge's verdicts on a run, or only those without a score; and what was computed from them."""
    only = " AND score IS NULL" if missing_only else ""
    connection.execute(f"DELETE FROM judgements WHERE run_id = ? AND judge = ?{only}", [run_id, judge])  # noqa: S608
    for table in ("effects", "control_effects"):
        connection.execute(f"DELETE FROM {table} WHERE run_id = ? AND judge = ?", [run_id, judge])  # noqa: S608
    left = connection.execute("SELECT 1 FROM judgements WHERE judge = ? LIMIT 1", [judge]).fetchall()
    if not left:
        connection.execute("DELETE FROM judges WHERE judge = ?", [judge])


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
