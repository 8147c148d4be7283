"""``snql compare-scorers``: rank by several scorers, patch all tops in one run, and set their effects side by side."""

from dataclasses import dataclass
from typing import Any

import polars as pl

from snql.contrast.locate import locate
from snql.contrast.scorers import CHANGE_SCORE, CONTRAST
from snql.db.connection import Database
from snql.patching.patch import patch
from snql.progress import ProgressCallback, silent, within
from snql.prompts.select import SetCounts
from snql.scorers.one_model import score_prompts
from snql.scorers.options import CompareOptions
from snql.scorers.rerank import rerank
from snql.writing.html import table
from snql.writing.words import decimal, interval, listing


@dataclass(frozen=True)
class Comparison:
    """effects: the rows of the view ``scorer_effects`` over all prompts, by the first judge, in the order of effects;
    words: what they show, in sentences."""

    run: str
    effects: pl.DataFrame
    words: tuple[str, ...]
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        return table(self.effects, title=f"Scorers of {self.run}")


def compare_scorers(
    db: Database,
    name: str,
    options: CompareOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> Comparison:
    """Locate as runs ``NAME-SCORER``, patch all tops as patch run ``NAME``.

    Every top has as many neurons, unless a scorer ranks fewer. Raises InputError before anything is written for bad
    input; a run that was cut off goes on with ``resume``.
    """
    for scorer in dict.fromkeys((CHANGE_SCORE, *options.scorers)):
        _rank(db, name, scorer, options, resume=resume, force=force, progress=within(scorer, progress))
    tops = _tops(db, name, options)
    patched = patch(db, name, options.patching(tops), resume=resume, force=force, progress=within("patch", progress))
    effects = db.frame(
        "SELECT * FROM scorer_effects WHERE run = ? AND pooled AND judge_position = 1 "
        "ORDER BY effect DESC NULLS LAST, scorer",
        [name],
    )
    return Comparison(name, effects, tuple(sentences(effects)), patched.prompt_sets)


def _rank(
    db: Database,
    name: str,
    scorer: str,
    options: CompareOptions,
    *,
    resume: bool,
    force: bool,
    progress: ProgressCallback,
) -> None:
    run = f"{name}-{scorer}"
    if scorer == CHANGE_SCORE:
        locate(db, run, options.locating(), resume=resume, force=force, progress=progress)
    elif scorer in CONTRAST:
        rerank(db, run, f"{name}-{CHANGE_SCORE}", scorer, resume=resume, force=force)
    else:
        score_prompts(db, run, options.scoring(scorer), resume=resume, force=force, progress=progress)


def _tops(db: Database, name: str, options: CompareOptions) -> tuple[str, ...]:
    """The top of each ranking, as an expression."""
    runs = {scorer: f"{name}-{scorer}" for scorer in (CHANGE_SCORE, *options.scorers)}
    query = "SELECT run, n_ranked FROM locate_runs WHERE run IN (SELECT unnest(?::VARCHAR[]))"
    ranked = dict(db.rows(query, [list(runs.values())]))
    most = options.size(ranked[runs[CHANGE_SCORE]])
    return tuple(f"{runs[scorer]}:{min(most, ranked[runs[scorer]])}" for scorer in options.scorers)


def sentences(effects: pl.DataFrame) -> list[str]:
    """Each scorer's effect with its interval beside its controls, and which of them cannot be told from random sets."""
    lines = [_sentence(row) for row in effects.iter_rows(named=True)]
    unlike = effects.filter(pl.col("difference_ci_low") <= 0)
    names = unlike["scorer"].to_list()
    if names:
        lines.append(
            f"Not above random sets of as many neurons in each layer: {listing(names)} (the interval of the difference "
            "covers 0 or lies below)."
        )
    return lines


def _sentence(row: dict[str, Any]) -> str:
    size = f"{row['n_neurons']:,} neurons"
    if row["effect"] is None:
        return f"{row['scorer']} ({size}): the effect is undefined, for the models' scores cannot be told apart."
    words = f"{row['scorer']} ({size}): effect {decimal(row['effect'], 3)} {interval(row['ci_low'], row['ci_high'], 3)}"
    if row["control_mean"] is not None:
        words += f", random sets {decimal(row['control_mean'], 3)}"
    if row["overlap"] is not None and row["scorer"] != CHANGE_SCORE:
        words += f"; {100 * row['overlap']:.0f}% of its neurons are among those of change-score"
        words += f" ({100 * row['chance']:.0f}% by chance)"
    return words + "."
