"""``snql judge``: judge what a run has stored, again or with another judge; nothing is generated."""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from snql.db import judgements, scripts
from snql.db.connection import Database
from snql.db.run_list import find
from snql.errors import InputError
from snql.jobs.work import at_work, patient
from snql.judges.judging import judge_run
from snql.judges.options import NONE_GIVEN, JudgeOptions, RejudgeFlags
from snql.judges.registry import judge_loader
from snql.progress import ProgressCallback, silent
from snql.writing.html import table


@dataclass(frozen=True)
class JudgeResult:
    """What judges said of a run.

    ``scores``: a row per judge and variant with counts, mean and standard deviation; ``effects``: the rows of
    ``causal_effects`` by these judges, none for a locate run.
    """

    run: str
    kind: str
    scores: pl.DataFrame
    effects: pl.DataFrame

    def _repr_html_(self) -> str:
        return table(self.scores, title=f"{self.kind} run {self.run}: scores")


def judge(
    db: Database,
    run: str,
    judges: Sequence[str],
    options: JudgeOptions | None = None,
    *,
    kind: str | None = None,
    flags: RejudgeFlags = NONE_GIVEN,
    progress: ProgressCallback = silent,
) -> JudgeResult:
    """Score the stored completions of a finished run by each judge, a chunk at a time, and compute its effects.

    Raises InputError before anything is changed for bad input, or if a judge has begun and no flag is given; RunError
    if a judge fails, with the scores so far kept.
    """
    if not judges:
        raise InputError("which judge? give `judges`, such as `judges` refusal")
    names = list(dict.fromkeys(judges))
    run_id, kind = find(db, run, kind)
    seed = _check_run(db, run, run_id, kind)
    loaders = [judge_loader(name, options or JudgeOptions()) for name in names]
    if not flags.force:
        for name in names:
            _check_free(db, run, run_id, name, go_on=flags.resume or flags.retry)
    loaded = [load() for load in loaders]
    own = patient(db)
    if flags.force or flags.retry:
        with own.write() as connection:
            for name in names:
                judgements.forget(connection, run_id, name, missing_only=not flags.force)
    judgements.check_judges(own, [found.info for found in loaded])
    with at_work(own, run_id, progress) as job:
        judge_run(job, loaded, seed)
    return JudgeResult(run, kind, _scores(db, run_id, names), _effects(db, run_id, names))


def _check_run(db: Database, run: str, run_id: int, kind: str) -> int:
    """The run's seed. Raises InputError if the run has not finished or has no completions."""
    query = "SELECT status, seed, (SELECT count(*) FROM completions WHERE run_id = $1) FROM runs WHERE run_id = $1"
    ((status, seed, completions),) = db.rows(query, [run_id])
    if status != "done":
        raise InputError(f"{kind} run {run!r} is {status}: finish it with `snql {kind} {run} … --resume` first")
    if not completions:
        raise InputError(f"{kind} run {run!r} has no completions to judge")
    return seed or 0


def _check_free(db: Database, run: str, run_id: int, judge: str, *, go_on: bool) -> None:
    completions, judged, missing = judgements.counts(db, run_id, judge)
    if judged == completions and not missing and go_on:
        return
    if judged and not go_on:
        remedy = "`resume` to judge the rest" if judged < completions else "`force` to judge them again"
        if judged == completions and missing:
            remedy = f"`retry` to ask about the {missing} without a score, or `force` for all"
        raise InputError(f"judge {judge!r} has judged {judged} of {completions} completions of {run!r}: use {remedy}")


def _scores(db: Database, run_id: int, judges: Sequence[str]) -> pl.DataFrame:
    return db.frame(scripts.query("judge_scores"), {"run_id": run_id, "judges": list(judges)})


def _effects(db: Database, run_id: int, judges: Sequence[str]) -> pl.DataFrame:
    return db.frame(
        "SELECT * EXCLUDE (run_id) FROM causal_effects WHERE run_id = ? AND list_contains(?, judge)"
        " ORDER BY judge, dataset, variant_id",
        [run_id, list(judges)],
    )
