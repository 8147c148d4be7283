"""Judging a run's stored completions, and the effects that follow; nothing is generated here."""

from collections.abc import Sequence

import polars as pl

from snql.db import judgements
from snql.db.connection import Database
from snql.errors import RunError
from snql.judges.base import Judge
from snql.progress import Progress, ProgressCallback, silent
from snql.stats.effects import Bootstrap, causal_effect

_CHUNK = 512


def judge_run(
    db: Database, run_id: int, judges: Sequence[Judge], *, seed: int = 0, progress: ProgressCallback = silent
) -> None:
    """Score the run's completions that lack a score, a chunk a commit, then compute its effects.

    Raises RunError if a judge does not give one score a completion.
    """
    for judge in judges:
        _score(db, run_id, judge, progress)
        rows = effect_rows(judgements.scores_by_variant(db, run_id, judge.info.name), judge.info.name, db, run_id, seed)
        if rows:
            with db.write() as connection:
                judgements.write_effects(connection, run_id, rows)


def _score(db: Database, run_id: int, judge: Judge, progress: ProgressCallback) -> None:
    info = judge.info
    waiting = judgements.unjudged(db, run_id, info.name)
    for start in range(0, len(waiting), _CHUNK):
        progress(Progress(f"judge {info.name}", start, len(waiting), "completions"))
        chunk = waiting[start : start + _CHUNK]
        scores = judge.score(list(chunk.select("prompt", "completion").iter_rows()))
        if len(scores) != len(chunk):
            raise RunError(f"judge {info.name} gave {len(scores)} scores for {len(chunk)} completions")
        with db.write() as connection:
            judgements.write_judgements(connection, run_id, info, chunk, scores)
    progress(Progress(f"judge {info.name}", len(waiting), len(waiting), "completions"))


def effect_rows(scores: pl.DataFrame, judge: str, db: Database, run_id: int, seed: int) -> list[judgements.EffectRow]:
    """The effect of every patched variant on each data set, and on all of them pooled if there are several."""
    patched = [
        variant
        for (variant,) in db.rows(
            "SELECT variant_id FROM variants WHERE run_id = ? AND role = 'patched' ORDER BY variant_id",
            [run_id],
        )
    ]
    roles = dict(db.rows("SELECT role, variant_id FROM variants WHERE run_id = ? AND role <> 'patched'", [run_id]))
    parts = {str(name): part for (name,), part in scores.group_by("dataset", maintain_order=True)}
    if len(parts) > 1:
        parts[judgements.POOLED] = scores
    rows = []
    for dataset, part in parts.items():
        bootstrap = Bootstrap.draw(len(part), seed=seed)
        recipient, donor = (part[str(roles[role])].to_numpy() for role in ("recipient", "donor"))
        for variant in patched:
            effect = causal_effect(recipient, donor, part[str(variant)].to_numpy(), bootstrap)
            rows.append(judgements.EffectRow(variant, judge, dataset, effect))
    return rows
