"""Judging a run's stored completions, and the effects that follow; nothing is generated here."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl

from snql.db import judgements
from snql.db.connection import Database
from snql.errors import RunError
from snql.jobs.work import Done, Job
from snql.judges.base import Judge, Verdict
from snql.judges.comparison import Comparison

_VERDICT = {"score": pl.Float64, "label": pl.String, "problem": pl.String}


def judge_run(job: Job, judges: Sequence[Judge], seed: int = 0) -> None:
    """Ask about the run's completions that lack a verdict, a chunk at a time, then compute its effects.

    Asked to stop, it does so after a chunk. Raises RunError if a judge fails, or gives a wrong number of verdicts or a
    score that is not finite; what it has said before stays.
    """
    for judge in judges:
        _score(job, judge)
        name = judge.info.name
        variants = _variants(job.db, job.run_id)
        if "recipient" not in variants["role"]:
            continue
        scores = judgements.scores_by_variant(job.db, job.run_id, name)
        effects, controls = effect_rows(scores, name, variants, seed)
        if effects:
            job.store(judgements.write_effects, effects, controls, seed)


def _score(job: Job, judge: Judge) -> None:
    info = judge.info
    waiting = judgements.unjudged(job.db, job.run_id, info.name)
    # Sets that change nothing write what the recipient writes: the same pair is judged once.
    pairs = waiting.select("prompt", "completion").unique(maintain_order=True)
    watch = job.watch(f"judge {info.name}", 0, len(waiting), "completions")
    job.work_through(
        watch,
        _judged(judge, waiting, pairs),
        lambda rows: job.store(judgements.write_judgements, info, pl.concat(rows)),
    )


def _judged(judge: Judge, waiting: pl.DataFrame, pairs: pl.DataFrame) -> Iterator[Done[pl.DataFrame]]:
    """A chunk of pairs at a time: the completions that are such a pair, with their verdicts."""
    for start in range(0, len(pairs), judge.at_once):
        chunk = pairs[start : start + judge.at_once]
        verdicts = judge.judge(list(chunk.iter_rows()))
        _check(judge.info.name, verdicts, len(chunk))
        columns = [pl.Series(name, [getattr(v, name) for v in verdicts], kind) for name, kind in _VERDICT.items()]
        rows = waiting.join(chunk.with_columns(columns), on=["prompt", "completion"], maintain_order="left")
        yield Done([rows], len(rows))


def _check(name: str, verdicts: Sequence[Verdict], wanted: int) -> None:
    if len(verdicts) != wanted:
        raise RunError(f"judge {name} gave {len(verdicts)} scores for {wanted} completions: mend the judge")
    for verdict in verdicts:
        if verdict.score is not None and not np.isfinite(verdict.score):
            raise RunError(f"judge {name} gave the score {verdict.score}, which is not a finite number: mend the judge")


def effect_rows(
    scores: pl.DataFrame, judge: str, variants: pl.DataFrame, seed: int
) -> tuple[list[judgements.EffectRow], list[judgements.ControlRow]]:
    """The effect of every patched variant on each data set, and on all of them pooled if there are several.

    With them comes what each set has over its random controls. variants: variant_id, role, control_of, control_kind.
    Prompts without a score under a variant, or under what it is compared with, are left out of that comparison.
    """
    parts = {str(name): part for (name,), part in scores.group_by("dataset", maintain_order=True)}
    if len(parts) > 1:
        parts[judgements.POOLED] = scores
    roles = {role: str(variant) for role, variant in variants.select("role", "variant_id").iter_rows()}
    compared = Comparison(roles["recipient"], roles.get("donor"), seed)
    controls = _controls(variants)
    effects, comparisons = [], []
    for dataset, part in parts.items():
        for variant in variants.filter(role="patched")["variant_id"]:
            rows = compared.complete(part, [str(variant)])
            if rows.is_empty():
                continue
            effects.append(judgements.EffectRow(variant, judge, dataset, compared.effect(rows, str(variant))))
            for kind, members in controls.get(variant, {}).items():
                found = compared.against(part, str(variant), [str(member) for member in members])
                if found is not None:
                    comparisons.append(judgements.ControlRow(variant, judge, dataset, kind, found))
    return effects, comparisons


def _variants(db: Database, run_id: int) -> pl.DataFrame:
    query = "SELECT variant_id, role, control_of, control_kind FROM variants WHERE run_id = ? ORDER BY variant_id"
    return db.frame(query, [run_id])


def _controls(variants: pl.DataFrame) -> dict[int, dict[str, list[int]]]:
    """The controls of each set by kind."""
    found: dict[int, dict[str, list[int]]] = {}
    for variant, control_of, kind in variants.select("variant_id", "control_of", "control_kind").iter_rows():
        if control_of is not None:
            found.setdefault(control_of, {}).setdefault(kind, []).append(variant)
    return found
