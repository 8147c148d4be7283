"""Scores of completions and the effects computed from them."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.tables import delete, flat, insert
from snql.errors import InputError
from snql.stats.controls import ControlEffect
from snql.stats.effects import Effect
from snql.stats.interval import CONFIDENCE, Interval
from snql.stats.judged import WORSE, JudgeInfo

_IDENTITY = "version, settings ->> '$.higher_is'"
_OF_VERDICTS = ("effects", "control_effects")
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


def list_judges(db: Database) -> pl.DataFrame:
    """One row per judge: what it is, which way its scores point, and how many it gave."""
    return db.frame(scripts.query("judges"))


def directions(db: Database) -> dict[str, str]:
    """For each judge whether a higher score is ``worse`` or ``better``."""
    return dict(db.rows("SELECT judge, coalesce(settings ->> '$.higher_is', 'worse') FROM judges ORDER BY judge"))


def unjudged(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """Completions of a run that the judge has not scored, in order.

    Columns: variant_id, prompt_id, sample, prompt, completion.
    """
    return db.frame(scripts.query("unjudged_completions"), {"run_id": run_id, "judge": judge})


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
            f"{sign}: leave `judge_signs` as it was, or use another database"
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
        row = {"kind": judge.kind, "version": judge.version, "settings": json.dumps(judge.settings)}
        insert(connection, "judges", [row], judge=judge.name)


def write_judgements(
    connection: duckdb.DuckDBPyConnection,
    run_id: int,
    judge: JudgeInfo,
    scores: pl.DataFrame,
) -> None:
    """Insert a judge's verdicts: variant_id, prompt_id, sample, score, label, problem."""
    write_judge(connection, judge)
    rows = scores.select("variant_id", "prompt_id", "sample", "score", "label", "problem")
    insert(connection, "judgements", rows, run_id=run_id, judge=judge.name)


def scores_by_variant(db: Database, run_id: int, judge: str) -> pl.DataFrame:
    """One row per prompt (dataset, prompt_id, in order), one column of mean scores over samples per variant_id.

    Samples without a score are left out of the mean; NULL where none has one.
    """
    frame = db.frame(scripts.query("scores_by_variant"), {"run_id": run_id, "judge": judge})
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
    if missing_only:
        connection.execute("DELETE FROM judgements WHERE run_id = ? AND judge = ? AND score IS NULL", [run_id, judge])
    for table in _OF_VERDICTS if missing_only else ("judgements", *_OF_VERDICTS):
        delete(connection, table, run_id=run_id, judge=judge)
    left = connection.execute("SELECT 1 FROM judgements WHERE judge = ? LIMIT 1", [judge]).fetchall()
    if not left:
        delete(connection, "judges", judge=judge)


def write_effects(
    connection: duckdb.DuckDBPyConnection,
    run_id: int,
    rows: Sequence[EffectRow],
    controls: Sequence[ControlRow],
    seed: int,
) -> None:
    """Replace the run's effects under the judges of ``rows``, and what sets have over their controls."""
    flattened = {"effects": [_effect(row) for row in rows], "control_effects": [_control(row) for row in controls]}
    for table, found in flattened.items():
        for judge in {row.judge for row in rows}:
            delete(connection, table, run_id=run_id, judge=judge)
        # No resamples: the intervals follow from formulas.
        insert(connection, table, found, run_id=run_id, confidence=CONFIDENCE, resamples=0, seed=seed)


def _effect(row: EffectRow) -> dict[str, object]:
    found = row.effect
    bounds = flat("gap_", found.gap_interval) | flat("change_", found.change_interval) | flat("", found.effect)
    return _told(row, found, "effect", "gap_interval", "change_interval") | {"effect": _value(found.effect)} | bounds


def _control(row: ControlRow) -> dict[str, object]:
    found = row.found
    bounds = flat("difference_", found.difference_interval) | flat("effect_difference_", found.effect)
    values = _told(row, found, "found", "difference_interval", "effect")
    return values | {"effect_difference": _value(found.effect)} | bounds


def _told(row: EffectRow | ControlRow, found: Effect | ControlEffect, *leaving: str) -> dict[str, object]:
    """The fields of both, but for some."""
    return {name: value for name, value in (vars(row) | vars(found)).items() if name not in leaving}


def _value(interval: Interval | None) -> float | None:
    return None if interval is None else interval.value
