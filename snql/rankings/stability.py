"""``snql stability``: how far rankings depend on the prompts, on the seed of training, and on rounding."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.prompt_sums import PromptSumsReader
from snql.db.scores import RunScores, read_run_scores
from snql.errors import InputError
from snql.rankings.overlaps import bound_of, compare
from snql.stats.interval import CONFIDENCE
from snql.stats.overlap import correlation
from snql.stats.resampling import MOST, half_weights, scores_of, spearman_brown, top_of

_BYTES = 512_000_000
"""Scores that are held at once."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Stability:
    """Four frames, each empty where a database has nothing to tell it from.

    halves: a row per run with sums per prompt: the rankings from two random halves of its prompts, over many splits.
    intervals: a row per run with bootstrap intervals. seeds: one row for all runs together, if there are several.
    floor: a row per run, against a run of a model against itself.
    """

    halves: pl.DataFrame
    intervals: pl.DataFrame
    seeds: pl.DataFrame
    floor: pl.DataFrame


def stability(
    db: Database, runs: Sequence[str], top: str = "5%", *, floor: str | None = None, splits: int = 100, seed: int = 0
) -> Stability:
    """What the database tells of how sure the rankings of these locate runs are.

    Raises InputError for an unknown run, a malformed ``top``, fewer than two splits, or runs of other models.
    """
    if not 2 <= splits <= MOST:
        raise InputError(f"`splits` {splits} is out of range: use 2 to {MOST}, better 100")
    if seed < 0:
        raise InputError(f"`seed` {seed} is out of range: use 0 or more")
    names = list(dict.fromkeys(runs))
    bound = bound_of(top)
    with db.reading():
        found = [read_run_scores(db, name) for name in names]
        tops = [bound.rank(len(run.ids)) for run in found]
        for run, k in zip(found, tops, strict=True):
            if not 1 <= k <= len(run.ids):
                raise InputError(f"`top` {top} gives {k} of the {len(run.ids)} neurons that {run.run!r} ranks")
        halves = [
            _halves(db, run, k, splits, seed)
            for run, k in zip(found, tops, strict=True)
            if _has(db, run, "prompt_sums")
        ]
        return Stability(
            pl.DataFrame(halves),
            pl.DataFrame(
                [_intervals(db, run, k) for run, k in zip(found, tops, strict=True) if _has(db, run, "score_intervals")]
            ),
            _seeds(compare(db, names, top), found, tops) if len(names) > 1 else pl.DataFrame(),
            _floors(found, tops, _floor_run(db, floor)) if floor else pl.DataFrame(),
        )


def _floor_run(db: Database, name: str) -> RunScores:
    """A run of a model against itself; raises InputError for one of two models."""
    run = read_run_scores(db, name)
    models = db.rows("SELECT DISTINCT model_id FROM run_models WHERE run_id = ?", [run.run_id])
    if len(models) > 1:
        raise InputError(
            f"`floor` {name!r} contrasts two models: a noise floor is a run of one with itself (`before` M `after` M)"
        )
    return run


def _has(db: Database, run: RunScores, table: str) -> bool:
    return bool(db.rows(f"SELECT 1 FROM {table} WHERE run_id = ? LIMIT 1", [run.run_id]))  # noqa: S608


def _halves(db: Database, run: RunScores, k: int, splits: int, seed: int) -> dict[str, object]:
    """Spearman's rho and the overlap at k of rankings from random halves of the prompts."""
    from scipy import stats  # slow to import: lists and pages do without

    reader = PromptSumsReader(db, run.run, run.run_id, run.shape)
    weights = half_weights(reader.n_prompts, splits, seed)
    ranked = np.flatnonzero(run.ranks)
    overlaps, rhos = [], []
    for first, second in _half_scores(reader, run, weights):
        for a, b in zip(first[:, ranked], second[:, ranked], strict=True):
            known = ~(np.isnan(a) | np.isnan(b))
            rhos.append(correlation(stats.rankdata(a[known]), stats.rankdata(b[known])))
            overlaps.append(len(np.intersect1d(top_of(a, k), top_of(b, k))) / k)
    return {
        "run": run.run,
        "n_prompts": reader.n_prompts,
        "splits": splits,
        "k": k,
        **_spread("overlap", overlaps),
        "chance": k / len(ranked),
        **_spread("spearman", rhos),
        **_spread("reliability", [spearman_brown(rho) for rho in rhos]),
        "seed": seed,
    }


def _half_scores(reader: PromptSumsReader, run: RunScores, weights: Array) -> Iterator[tuple[Array, Array]]:
    """The scores of all neurons from both halves, for some splits at a time: Float64["splits neurons"] each."""
    size = run.shape.size
    step = max(1, _BYTES // (16 * size))
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        first, second = np.full((len(block), size), np.nan), np.full((len(block), size), np.nan)
        for chunk in reader.chunks():
            first[:, chunk.ids] = scores_of(block, chunk.squared, chunk.counts)
            second[:, chunk.ids] = scores_of(1 - block, chunk.squared, chunk.counts)
        yield first, second


def _spread(name: str, values: Sequence[float]) -> dict[str, float]:
    """Mean, and the range that holds 95 % of the values."""
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return {name: float(np.mean(values)), f"{name}_low": float(low), f"{name}_high": float(high)}


def _intervals(db: Database, run: RunScores, k: int) -> dict[str, object]:
    frame = db.frame(scripts.query("interval_summary"), {"run_id": run.run_id, "k": k})
    return {"run": run.run, "k": k, **frame.row(0, named=True)}


def _seeds(pairs: pl.DataFrame, runs: Sequence[RunScores], tops: Sequence[int]) -> pl.DataFrame:
    """All pairs of the runs in one row, and how many neurons are at the top of all of them."""
    sets = [set(run.ids[:k].tolist()) for run, k in zip(runs, tops, strict=True)]
    share = tops[0] / len(runs[0].ids)
    return pairs.select(
        pl.lit(len(runs)).alias("n_runs"),
        pl.col("k").first(),
        pl.col("overlap").mean(),
        pl.col("overlap").min().alias("overlap_lowest"),
        pl.col("overlap").max().alias("overlap_highest"),
        pl.col("chance").first(),
        pl.col("chance_by_layer").mean(),
        pl.col("spearman_all").mean().alias("spearman"),
        pl.lit(len(set.intersection(*sets))).alias("n_in_all"),
        pl.lit(tops[0] * share ** (len(runs) - 1)).alias("n_in_all_by_chance"),
    )


def _floors(runs: Sequence[RunScores], tops: Sequence[int], floor: RunScores) -> pl.DataFrame:
    """Each run's top against a run of a model against itself, neuron by neuron and as a whole."""
    rows = []
    for run, k in zip(runs, tops, strict=True):
        if run.shape != floor.shape:
            raise InputError(
                f"run {run.run!r} is of a model with {run.shape} neurons, `floor` {floor.run!r} of one with "
                f"{floor.shape}: take a run of the same model"
            )
        ids = run.ids
        own = floor.scores[ids]
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = (run.scores[ids] / own)[:k]
        ratios = ratios[~np.isnan(ratios)]
        rows.append(
            {
                "run": run.run,
                "floor": floor.run,
                "k": k,
                "n_ranked": len(ids),
                "above_floor": float(np.mean(run.scores[ids] > own)),
                "top_above_floor": float(np.mean(run.scores[ids[:k]] > own[:k])),
                "top_above_all_floor": float(np.mean(run.scores[ids[:k]] > np.nanmax(floor.scores))),
                "median_ratio_of_top": float(np.median(ratios)) if len(ratios) else None,
                "lowest_ratio_of_top": float(ratios.min()) if len(ratios) else None,
            }
        )
    return pl.DataFrame(rows)
