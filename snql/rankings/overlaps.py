"""``snql overlap``: every pair of some locate runs compared at the top of their rankings."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import combinations

import numpy as np
import polars as pl

from snql.db.connection import Database
from snql.db.scores import find_sizes, read_run_scores
from snql.errors import ExpressionError, InputError
from snql.neurons import syntax
from snql.neurons.sets import BINS, Ids, Sizes, size_bins
from snql.stats.overlap import Overlap, Pair, RankedScores

CURVE = (0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0)
"""The shares of the ranked neurons at which a curve is drawn."""


def compare(db: Database, runs: Sequence[str], top: str = "5%") -> pl.DataFrame:
    """One row per pair of runs; columns are those of :class:`snql.stats.overlap.Overlap`.

    ``top`` is a percentage of the ranked neurons or a number of them. Raises InputError for fewer than two runs, an
    unknown run, a malformed ``top``, or runs that rank different neurons.
    """
    bound = bound_of(top)
    return _frame([pair.at(bound.rank(pair.n_ranked)) for pair in _pairs(db, runs)])


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


def bound_of(top: str) -> syntax.Bound:
    """``5%`` or ``20000``; raises InputError for anything else."""
    try:
        node = syntax.parse(f"run:{top}")
    except ExpressionError as error:
        raise InputError(f"`top` {top!r} is not known: use a percentage such as 5% or a number of neurons") from error
    if not isinstance(node, syntax.Ranked) or node.low.value:
        raise InputError(f"`top` {top!r} is not known: use a percentage such as 5% or a number of neurons")
    return node.high


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
