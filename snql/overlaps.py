"""``snql overlap``: every pair of some locate runs compared at the top of their rankings."""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import combinations

import polars as pl

from snql.db.connection import Database
from snql.db.scores import read_ranked_scores
from snql.errors import ExpressionError, InputError
from snql.neurons import syntax
from snql.stats.overlap import RankedScores, overlap


def compare(db: Database, runs: Sequence[str], top: str = "5%") -> pl.DataFrame:
    """One row per pair of runs; columns are those of :class:`snql.stats.overlap.Overlap`.

    ``top`` is a percentage of the ranked neurons or a number of them. Raises InputError for fewer than two runs, an
    unknown run, a malformed ``top``, or runs that rank different neurons.
    """
    if len(set(runs)) < 2:
        raise InputError(
            "an overlap needs at least two different runs: name them, such as `snql overlap safety helpful`"
        )
    bound = _bound(top)
    rankings = [_ranked(db, run) for run in dict.fromkeys(runs)]
    pairs = [overlap(a, b, bound.rank(len(a.ids))) for a, b in combinations(rankings, 2)]
    return pl.DataFrame([asdict(pair) for pair in pairs])


def _ranked(db: Database, run: str) -> RankedScores:
    ids, scores, shape = read_ranked_scores(db, run)
    return RankedScores(run, ids, scores, ids // shape.n_neurons)


def _bound(top: str) -> syntax.Bound:
    try:
        node = syntax.parse(f"run:{top}")
    except ExpressionError as error:
        raise InputError(f"--top {top!r} is not known: use a percentage such as 5% or a number of neurons") from error
    if not isinstance(node, syntax.Ranked) or node.low.value:
        raise InputError(f"--top {top!r} is not known: use a percentage such as 5% or a number of neurons")
    return node.high
