"""Judging a run's stored completions, and the effects that follow; nothing is generated here."""

from collections.abc import Sequence

import polars as pl

from snql.db import judgements
from snql.db.connection import Database
from snql.errors import RunError
from snql.interrupts import Stop
from snql.judges.base import Judge
from snql.progress import Progress, ProgressCallback, silent
from snql.stats.controls import against_controls
from snql.stats.effects import Bootstrap, causal_effect

_CHUNK = 512


def judge_run(
    db: Database,
    run_id: int,
    judges: Sequence[Judge],
    *,
    seed: int = 0,
    progress: ProgressCallback = silent,
    stop: Stop | None = None,
) -> None:
    """Score the run's completions that lack a score, a chunk a commit, then compute its effects.

    Asked to stop, it does so after a chunk. Raises RunError if a judge does not give one score a completion.
    """
    for judge in judges:
        _score(db, run_id, judge, progress, stop or Stop())
        name = judge.info.name
        scores = judgements.scores_by_variant(db, run_id, name)
        effects, controls = effect_rows(scores, name, _variants(db, run_id), seed)
        if effects:
            with db.write() as connection:
                judgements.write_effects(connection, run_id, effects, controls)


def _score(db: Database, run_id: int, judge: Judge, progress: ProgressCallback, stop: Stop) -> None:
    info = judge.info
    waiting = judgements.unjudged(db, run_id, info.name)
    # Sets that change nothing write what the recipient writes: the same pair is judged once.
    pairs = waiting.select("prompt", "completion").unique(maintain_order=True)
    done = 0
    for start in range(0, len(pairs), _CHUNK):
        progress(Progress(f"judge {info.name}", done, len(waiting), "completions"))
        chunk = pairs[start : start + _CHUNK]
        scores = judge.score(list(chunk.iter_rows()))
        if len(scores) != len(chunk):
            raise RunError(f"judge {info.name} gave {len(scores)} scores for {len(chunk)} completions")
        scored = chunk.with_columns(pl.Series("score", scores, dtype=pl.Float64))
        rows = waiting.join(scored, on=["prompt", "completion"], maintain_order="left")
        with db.write() as connection:
            judgements.write_judgements(connection, run_id, info, rows)
        stop.here()
        done += len(rows)
    progress(Progress(f"judge {info.name}", done, len(waiting), "completions"))


def effect_rows(
    scores: pl.DataFrame, judge: str, variants: pl.DataFrame, seed: int
) -> tuple[list[judgements.EffectRow], list[judgements.ControlRow]]:
    """The effect of every patched variant on each data set, and on all of them pooled if there are several.

    With them comes what each set has over its random controls. variants: variant_id, role, control_of, control_kind.
    """
    roles = {role: str(variant) for role, variant in variants.select("role", "variant_id").iter_rows()}
    controls = _controls(variants)
    parts = {str(name): part for (name,), part in scores.group_by("dataset", maintain_order=True)}
    if len(parts) > 1:
        parts[judgements.POOLED] = scores
    effects, comparisons = [], []
    for dataset, part in parts.items():
        bootstrap = Bootstrap.draw(len(part), seed=seed)
        recipient = part[roles["recipient"]].to_numpy()
        donor = part[roles["donor"]].to_numpy() if "donor" in roles else None
        gap = None if donor is None else donor - recipient
        for variant in variants.filter(role="patched")["variant_id"]:
            patched = part[str(variant)].to_numpy()
            effect = causal_effect(recipient, donor, patched, bootstrap)
            effects.append(judgements.EffectRow(variant, judge, dataset, effect))
            for kind, members in controls.get(variant, {}).items():
                theirs = part.select(map(str, members)).to_numpy().T
                found = against_controls(patched, theirs, gap, bootstrap)
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
