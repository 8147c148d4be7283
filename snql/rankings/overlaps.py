"""``snql overlap``: every pair of some locate runs compared at the top of their rankings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations

import numpy as np
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.scores import find_sizes, read_run_scores
from snql.errors import InputError
from snql.neurons.sets import BINS, Ids, Sizes, size_bins
from snql.neurons.syntax import parse_top
from snql.neurons.tree import Bound
from snql.stats.overlap import Overlap, Pair, RankedScores

CURVE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""The shares of the ranked neurons at which a curve is drawn."""


def compare(db: Database, runs: Sequence[str], top: str = "5%") -> pl.DataFrame:
    """One row per pair of runs; columns are those of :class:`snql.stats.overlap.Overlap`.

    With contentless adapters made of one of the runs (``snql null``), also those of :class:`Nulls`; null without.
    ``top`` is a percentage of the ranked neurons or a number of them. Raises InputError for fewer than two runs, an
    unknown run, a malformed ``top``, or runs that rank different neurons.
    """
    bound = bound_of(top)
    found = [(pair, pair.at(bound.rank(pair.n_ranked))) for pair in _pairs(db, runs)]
    draws = _draws(db, runs)
    rows = [asdict(overlap) | asdict(_nulls(pair, overlap, draws)) for pair, overlap in found]
    return pl.DataFrame(rows, schema_overrides=NULL_TYPES, infer_schema_length=None)


@dataclass(frozen=True)
class Nulls:
    """What a run's top shares with contentless adapters that were made of the other one.

    null_of: the run that was shuffled; where draws of both are there, the one with the larger p. null_overlap,
    null_spearman: means over the draws; null_low, null_high: the smallest and the largest overlap. null_p_value: chance
    that a draw shares as much, (1 + draws that do) / (1 + draws).
    """

    null_of: str | None = None
    null_draws: int = 0
    null_overlap: float | None = None
    null_low: float | None = None
    null_high: float | None = None
    null_spearman: float | None = None
    null_p_value: float | None = None


NULL_TYPES = {"null_of": pl.String} | dict.fromkeys(
    ("null_overlap", "null_low", "null_high", "null_spearman", "null_p_value"), pl.Float64
)


def _draws(db: Database, runs: Sequence[str]) -> dict[str, list[RankedScores]]:
    """The rankings of contentless adapters by the run that they were made of."""
    found: dict[str, list[RankedScores]] = {}
    with db.reading():
        for run, source in db.rows(scripts.query("null_draws"), {"runs": list(runs)}):
            found.setdefault(source, []).append(ranked_scores(db, run))
    return found


def _nulls(pair: Pair, overlap: Overlap, draws: Mapping[str, Sequence[RankedScores]]) -> Nulls:
    sides = [(pair.a, pair.b.run), (pair.b, pair.a.run)]
    others = [
        (kept, shuffled, [draw for draw in draws.get(shuffled, ()) if draw.run != kept.run]) for kept, shuffled in sides
    ]
    found = [_null(kept, shuffled, drawn, overlap) for kept, shuffled, drawn in others if drawn]
    return max(found, key=lambda null: null.null_p_value or 0, default=Nulls())


def _null(kept: RankedScores, shuffled: str, draws: Sequence[RankedScores], overlap: Overlap) -> Nulls:
    pairs = [Pair(kept, draw) for draw in draws]
    shared = np.array([pair.shared[overlap.k - 1] for pair in pairs]) / overlap.k
    return Nulls(
        null_of=shuffled,
        null_draws=len(pairs),
        null_overlap=float(shared.mean()),
        null_low=float(shared.min()),
        null_high=float(shared.max()),
        null_spearman=float(np.mean([pair.spearman for pair in pairs])),
        null_p_value=(1 + int((shared >= overlap.overlap).sum())) / (1 + len(pairs)),
    )


def beside(db: Database, run: str, others: Sequence[str], top: str = "5%") -> pl.DataFrame:
    """One row for each of the others compared with one run, which is read once; columns are those of Overlap."""
    bound = bound_of(top)
    with db.reading():
        own, sizes = ranked_scores(db, run), find_sizes(db, run)
        rows = []
        for other in others:
            pair = Pair(own, ranked_scores(db, other), parts_of(own, sizes, find_sizes(db, other)))
            rows.append(pair.at(bound.rank(pair.n_ranked)))
    return _frame(rows)


def curve(db: Database, runs: Sequence[str]) -> pl.DataFrame:
    """As :func:`compare`, for growing tops: those of CURVE, as far as they are different numbers of neurons."""
    return _frame(
        [
            pair.at(k)
            for pair in _pairs(db, runs)
            for k in sorted({max(1, round(share * pair.n_ranked)) for share in CURVE})
        ]
    )


def matrix(pairs: pl.DataFrame, column: str = "overlap") -> pl.DataFrame:
    """One row and one column per run, from the rows of :func:`compare`; a run with itself is 1."""
    runs = list(dict.fromkeys([*pairs["run_a"], *pairs["run_b"]]))
    values = {(a, b): value for a, b, value in pairs.select("run_a", "run_b", column).rows()}
    found = {b: [1.0 if a == b else values.get((a, b), values.get((b, a))) for a in runs] for b in runs}
    return pl.DataFrame({"run": runs} | found, strict=False)


def ranked_scores(db: Database, run: str) -> RankedScores:
    """A finished locate run's ranking; raises InputError if there is none of that name."""
    found = read_run_scores(db, run)
    return RankedScores(run, found.ranks, found.scores, found.shape.n_neurons)


def bound_of(top: str) -> Bound:
    """``5%`` or ``20000``; raises InputError for anything else."""
    bound = parse_top(top)
    if bound is None:
        raise InputError(f"`top` {top!r} is not known: use a percentage such as 5% or a number of neurons")
    return bound


def _pairs(db: Database, runs: Sequence[str]) -> Iterator[Pair]:
    if len(set(runs)) < 2:
        raise InputError(
            "an overlap needs at least two different runs: name them, such as `snql overlap safety helpful`"
        )
    with db.reading():
        rankings = [(ranked_scores(db, run), find_sizes(db, run)) for run in dict.fromkeys(runs)]
    for (a, sizes_a), (b, sizes_b) in combinations(rankings, 2):
        yield Pair(a, b, parts_of(a, sizes_a, sizes_b))


def parts_of(run: RankedScores, *sizes: Sizes | None) -> Ids | None:
    """For each ranked neuron its layer and twentieth of this by size: neurons of one number are alike in both.

    sizes: of one or two runs; of two, their root mean square counts. None where those of one are not known.
    """
    known = [each for each in sizes if each is not None and len(each) == len(run.ranks)]
    if len(known) < len(sizes):
        return None
    size = np.sqrt(np.sum(np.square(known), axis=0))[run.ranked]
    layers = run.ranked // run.n_neurons
    parts = layers * BINS
    for layer in np.unique(layers):
        parts[layers == layer] += size_bins(size[layers == layer])
    return parts


def _frame(rows: Sequence[Overlap]) -> pl.DataFrame:
    return pl.DataFrame([asdict(row) for row in rows])
