"""``snql judges compare``: how far two judges of the same completions agree."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.run_list import find
from snql.errors import InputError
from snql.judges.base import BETTER
from snql.stats.bootstrap import RESAMPLES, drawn_counts, percentile_interval
from snql.stats.interval import CONFIDENCE
from snql.writing.html import table

Array = npt.NDArray[np.float64]
FEWEST = 3


@dataclass(frozen=True)
class Agreement:
    """Two judges of one run.

    ``statistics``: a row each for Pearson, Spearman and Cohen's kappa of the verdicts, with value and interval, and
    over how many completions, prompts and bootstrap resamples of prompts; value NULL where undefined. ``verdicts``:
    the table of verdicts, both ways. ``disagreements``: completions that one judge calls bad and the other does
    not, those first on whose scores, in standard deviations of each judge, they differ most. ``missing``:
    completions that one or both gave no score.
    """

    run: str
    judges: tuple[str, str]
    limits: tuple[float, float]
    statistics: pl.DataFrame
    verdicts: pl.DataFrame
    disagreements: pl.DataFrame
    missing: int

    def _repr_html_(self) -> str:
        return table(self.statistics, title=f"{self.judges[0]} and {self.judges[1]} on {self.run}")


def agreement(
    db: Database,
    run: str,
    a: str,
    b: str,
    *,
    kind: str | None = None,
    limits: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
) -> Agreement:
    """Compare two judges over all completions of a run that both scored.

    A completion is bad for a judge if its score is above that judge's limit, or below it for a judge of rewards.
    Intervals resample prompts, with all their completions.

    Raises InputError for an unknown run, a judge that has not judged it, or fewer than three scores in common.
    """
    run_id, _ = find(db, run, kind)
    if a == b:
        raise InputError(f"judge {a!r} agrees with itself: name two judges")
    for name in (a, b):
        _check_judge(db, run, run_id, name)
    asked = db.frame(scripts.query("judged_by_both"), {"run_id": run_id, "a": a, "b": b})
    scored = asked.drop_nulls(["score_a", "score_b"])
    if len(scored) < FEWEST:
        raise InputError(f"{a!r} and {b!r} both scored {len(scored)} completions of {run!r}: too few to compare")
    bad = [_bad(db, judge, scored[column], limit) for judge, column, limit in zip((a, b), _SCORES, limits, strict=True)]
    judged = scored.with_columns(bad_a=bad[0], bad_b=bad[1])
    return Agreement(
        run,
        (a, b),
        limits,
        statistics(judged, seed),
        judged.group_by("bad_a", "bad_b").len("n").sort("bad_a", "bad_b"),
        _disagreements(judged),
        len(asked) - len(scored),
    )


_SCORES = ("score_a", "score_b")
_ROUNDING = 1e-12
"""Deviations that are less than so much of the size of what deviates are rounding: all values are one."""


def parse_limits(text: str) -> tuple[float, float]:
    """Two limits from ``A,B``, or one for both; raises InputError."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) not in (1, 2) or not np.isfinite(values).all():
        raise InputError(f"`limits` {text!r} is malformed: write two numbers, such as 0,3")
    return values[0], values[-1]


def _check_judge(db: Database, run: str, run_id: int, judge: str) -> None:
    known = [name for (name,) in db.rows("SELECT DISTINCT judge FROM judgements WHERE run_id = ? ORDER BY 1", [run_id])]
    if judge not in known:
        names = ", ".join(known) or "none"
        raise InputError(f"judge {judge!r} has not judged {run!r} (judges that have: {names}): run `snql judge`")


def _bad(db: Database, judge: str, scores: pl.Series, limit: float) -> pl.Series:
    ((higher_is,),) = db.rows("SELECT settings ->> '$.higher_is' FROM judges WHERE judge = ?", [judge])
    return scores < limit if higher_is == BETTER else scores > limit


def statistics(judged: pl.DataFrame, seed: int) -> pl.DataFrame:
    """Pearson, Spearman and kappa with intervals, of rows of prompt_id, score_a, score_b, bad_a and bad_b.

    All are computed from sums over each prompt, so that prompts can be resampled.
    """
    from scipy import stats  # slow to import: lists and pages do without

    prompts = judged["prompt_id"].rank("dense").to_numpy().astype(np.int64) - 1
    x, y = (judged[column].to_numpy() for column in _SCORES)
    ranks = stats.rankdata(x), stats.rankdata(y)
    bad = judged["bad_a"].to_numpy().astype(float), judged["bad_b"].to_numpy().astype(float)
    n_prompts = int(prompts.max()) + 1
    rows = []
    for name, (left, right), formula in (
        ("Pearson", (x - np.median(x), y - np.median(y)), pearson),
        ("Spearman", (ranks[0] - ranks[0].mean(), ranks[1] - ranks[1].mean()), pearson),
        ("kappa", bad, kappa),
    ):
        value, low, high = _interval(_sums(left, right, prompts), formula, seed)
        rows.append({"statistic": name, "value": value, "ci_low": low, "ci_high": high})
    sizes = {
        "n_completions": len(judged),
        "n_prompts": n_prompts,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "seed": seed,
    }
    schema = {"statistic": pl.String, "value": pl.Float64, "ci_low": pl.Float64, "ci_high": pl.Float64}
    return pl.DataFrame(rows, schema=schema).with_columns(**{name: pl.lit(size) for name, size in sizes.items()})


def _sums(x: Array, y: Array, prompts: npt.NDArray[np.int64]) -> Array:
    """Sums of 1, x, y, x², y² and xy over the completions of each prompt, shape (prompts, 6)."""
    parts = (np.ones_like(x), x, y, x * x, y * y, x * y)
    return np.stack([np.bincount(prompts, part) for part in parts], axis=1)


def _interval(
    sums: Array, formula: Callable[[Array], Array], seed: int
) -> tuple[float | None, float | None, float | None]:
    """The value of all prompts with its percentile interval; None where it is undefined."""
    value = float(formula(sums.sum(axis=0)))
    if not np.isfinite(value):
        return None, None, None
    resampled = [formula(counts @ sums) for counts in drawn_counts(len(sums), seed)]
    drawn = np.concatenate(resampled or [np.empty(0)])
    found = percentile_interval(value, np.where(np.isfinite(drawn), drawn, np.nan))
    if found is None or np.isfinite(drawn).sum() < len(drawn) / 2:
        return value, None, None
    return value, found.low, found.high


def pearson(sums: Array) -> Array:
    """Pearson's coefficient from sums of 1, x, y, x², y², xy in the last axis; NaN where one is constant."""
    n, x, y, xx, yy, xy = np.moveaxis(np.asarray(sums), -1, 0)
    of_x, of_y = n * xx - x * x, n * yy - y * y
    with np.errstate(invalid="ignore", divide="ignore"):
        flat = (of_x <= _ROUNDING * n * xx) | (of_y <= _ROUNDING * n * yy)
        found: Array = np.where(flat, np.nan, (n * xy - x * y) / np.sqrt(of_x * of_y))
    return found


def kappa(sums: Array) -> Array:
    """Cohen's kappa of two 0/1 verdicts, from the same sums; NaN where both always say the same one thing."""
    n, x, y, _, _, xy = np.moveaxis(np.asarray(sums), -1, 0)
    same = (n - x - y + 2 * xy) / n
    chance = (x * y + (n - x) * (n - y)) / (n * n)
    with np.errstate(invalid="ignore", divide="ignore"):
        found: Array = np.where(chance >= 1, np.nan, (same - chance) / (1 - chance))
    return found


def _disagreements(judged: pl.DataFrame) -> pl.DataFrame:
    standard = [(pl.col(c) - pl.col(c).mean()) / pl.col(c).std() for c in _SCORES]
    apart = (standard[0] - standard[1]).abs().fill_nan(None)
    rows = judged.with_columns(apart=apart).filter(pl.col("bad_a") != pl.col("bad_b"))
    return rows.sort("apart", "prompt_id", "sample", "variant", descending=[True, False, False, False], nulls_last=True)
