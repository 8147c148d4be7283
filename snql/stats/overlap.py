"""How much two rankings share at the top, beside what chance would share."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
from scipy import special

from snql.errors import InputError

Array = npt.NDArray[np.float64]
Ranks = npt.NDArray[np.int64]

LEAST_CHANCE = 1e-300
"""What a p-value is at least: doubles end a little below."""

_NEGLIGIBLE = 1e-40
_STEEPEST = 64.0
"""Where the largest possible number is asked for, no tilt makes it the mean; this one makes it all but sure."""


@dataclass(frozen=True, eq=False)
class RankedScores:
    """A run's ranking of all neurons of a model, layer by layer: both arrays have shape (layers * n_neurons,).

    ranks: 1 for the best, 0 for neurons that are not ranked. scores: NaN where there is none.
    """

    run: str
    ranks: Ranks
    scores: Array
    n_neurons: int

    @cached_property
    def ranked(self) -> Ranks:
        """Places of the ranked neurons, ascending."""
        return np.flatnonzero(self.ranks)

    @cached_property
    def mean_ranks(self) -> Array:
        """Ranks of the ranked neurons, by place; equal scores get the mean of theirs, as Spearman's rho needs."""
        ranks = self.ranks[self.ranked]
        by_rank = np.empty(len(ranks))
        by_rank[ranks - 1] = self.scores[self.ranked]
        starts = np.flatnonzero(np.diff(by_rank, prepend=np.nan) != 0)
        if len(starts) == len(ranks):  # no two scores are equal
            return ranks.astype(np.float64)
        ends = np.append(starts[1:], len(ranks))
        means = np.repeat((starts + ends + 1) / 2, ends - starts)
        found: Array = means[ranks - 1]
        return found


@dataclass(frozen=True)
class Overlap:
    """Overlap of the top k of two rankings.

    overlap: |A & B| / k. chance: its expectation for random sets of size k; chance_by_layer: for random sets with
    the same number of neurons in each layer as A and B; chance_by_magnitude: with the same number in each twentieth of
    a layer's neurons by size of activation, too, None where sizes are not known; each with the probability of an
    overlap at least this large (1e-300 stands for any smaller one).
    rank_biased_overlap: agreement at all depths, weighted so that the expected depth is k (Webber et al. 2010, with
    p = 1 - 1/k); for random rankings it is about ``chance``. spearman_all: rank correlation of scores over all ranked
    neurons. spearman_common: over A & B only, which is high even for unrelated tops that agree on little, so never read
    it alone; None with fewer than three neurons.
    """

    run_a: str
    run_b: str
    k: int
    n_ranked: int
    shared: int
    overlap: float
    jaccard: float
    chance: float
    p_value: float
    chance_by_layer: float
    p_value_by_layer: float
    chance_by_magnitude: float | None
    p_value_by_magnitude: float | None
    rank_biased_overlap: float
    spearman_all: float
    spearman_common: float | None


class Pair:
    """Two rankings of the same neurons.

    parts: a number for each ranked neuron, in order of their places, the same for neurons of one layer and of like
    size; None where sizes are not known. Raises InputError if the runs rank different neurons.
    """

    def __init__(self, a: RankedScores, b: RankedScores, parts: Ranks | None = None) -> None:
        if len(a.ranks) != len(b.ranks) or a.n_neurons != b.n_neurons:
            sizes = (
                f"{each.run!r} is of {len(each.ranks) // each.n_neurons} layers of {each.n_neurons}" for each in (a, b)
            )
            raise InputError(
                f"runs rank neurons of models of different shape, {' and '.join(sizes)}: they cannot be compared"
            )
        if not np.array_equal(a.ranked, b.ranked):
            raise InputError(
                f"runs {a.run!r} and {b.run!r} rank different neurons ({len(a.ranked)} and {len(b.ranked)}): compare "
                "runs with the same `skip_last_layers` (of a mixture of experts: whose prompts reached the same "
                f"experts); what a set shares with a top: `snql neurons '{a.run}:5% & {b.run}:100%'`"
            )
        self.a, self.b, self._parts = a, b, parts
        self.n_ranked = len(a.ranked)
        self._ranks = [run.ranks[run.ranked] for run in (a, b)]
        self._layers = a.ranked // a.n_neurons

    @cached_property
    def shared(self) -> Ranks:
        """How many neurons the tops of 1, 2, …, n_ranked share: a neuron counts from the worse of its two ranks on."""
        worse = np.maximum(*self._ranks)
        found: Ranks = np.cumsum(np.bincount(worse, minlength=self.n_ranked + 1)[1:])
        return found

    def at(self, k: int) -> Overlap:
        """Compare the top k; raises InputError if k is not between 1 and the number of ranked neurons."""
        if not 1 <= k <= self.n_ranked:
            raise InputError(f"`top` gives {k} neurons: it must be between 1 and the {self.n_ranked} that are ranked")
        shared = int(self.shared[k - 1])
        by_layer = self._within(self._layers, k, shared)
        by_magnitude = (None, None) if self._parts is None else self._within(self._parts, k, shared)
        return Overlap(
            run_a=self.a.run,
            run_b=self.b.run,
            k=k,
            n_ranked=self.n_ranked,
            shared=shared,
            overlap=shared / k,
            jaccard=shared / (2 * k - shared),
            chance=k / self.n_ranked,
            p_value=_chance(log_tail([Draws(self.n_ranked, k, k)], shared)),
            chance_by_layer=by_layer[0],
            p_value_by_layer=by_layer[1],
            chance_by_magnitude=by_magnitude[0],
            p_value_by_magnitude=by_magnitude[1],
            rank_biased_overlap=self.rank_biased_overlap(1 - 1 / k),
            spearman_all=self.spearman,
            spearman_common=self._spearman_common(k) if shared > 2 else None,
        )

    def rank_biased_overlap(self, p: float) -> float:
        """Agreement at depth d weighted by (1 - p) p^(d-1); beyond the last rank both hold the same, so agree."""
        depths = np.arange(1, self.n_ranked + 1)
        weights = np.exp((depths - 1) * np.log(p)) if p > 0 else depths == 1  # a power of each would take far longer
        weighted = (1 - p) * np.sum(weights * self.shared / depths)
        return float(weighted + p**self.n_ranked)

    @cached_property
    def spearman(self) -> float:
        """Spearman's rho of the scores of all ranked neurons."""
        return correlation(self.a.mean_ranks, self.b.mean_ranks)

    def _spearman_common(self, k: int) -> float:
        from scipy import stats  # slow to import: lists and pages do without

        common = (self._ranks[0] <= k) & (self._ranks[1] <= k)
        a, b = (stats.rankdata(run.mean_ranks[common]) for run in (self.a, self.b))
        return correlation(a, b)

    def _within(self, parts: Ranks, k: int, shared: int) -> tuple[float, float]:
        """Expected overlap when the choice in each part is random, and the chance of at least ``shared`` neurons."""
        sizes = np.bincount(parts)
        tops = [np.bincount(parts[ranks <= k], minlength=len(sizes)) for ranks in self._ranks]
        counts = zip(sizes.tolist(), *(top.tolist() for top in tops), strict=True)
        draws = [Draws(size, in_a, in_b) for size, in_a, in_b in counts if in_a and in_b]
        return sum(part.expected for part in draws) / k, _chance(log_tail(draws, shared))


@dataclass(frozen=True)
class Draws:
    """How many of ``marked`` neurons are among ``drawn`` of ``size``, by chance: a hypergeometric distribution."""

    size: int
    marked: int
    drawn: int

    @property
    def lowest(self) -> int:
        """The fewest there can be."""
        return max(0, self.marked + self.drawn - self.size)

    @property
    def expected(self) -> float:
        return self.marked * self.drawn / self.size

    @cached_property
    def log_chances(self) -> Array:
        """Logarithms of the chances of the fewest, and so on to the most."""
        from scipy import stats

        values = np.arange(self.lowest, min(self.marked, self.drawn) + 1)
        found: Array = stats.hypergeom.logpmf(values, self.size, self.marked, self.drawn)
        return found


def log_tail(parts: Sequence[Draws], at_least: int) -> float:
    """The logarithm of the chance that independent draws have at least so many marked ones in all.

    Their distributions are convolved after each was tilted by ``exp(tilt x)``, so that what is asked for is what is
    likely, and the tilt is taken out of the sum again: exact to rounding however small the chance is (Esscher 1932).
    -inf where there cannot be so many.
    """
    lowest = sum(part.lowest for part in parts)
    most = lowest + sum(len(part.log_chances) - 1 for part in parts)
    if at_least > most:
        return float("-inf")
    if at_least <= lowest:
        return 0.0
    tilt = _tilt(parts, at_least)
    first, distribution, log_scale = 0, np.ones(1), 0.0
    for part in parts:
        tilted = part.log_chances + tilt * np.arange(len(part.log_chances))
        scale = float(special.logsumexp(tilted))
        start, chances = _likely(np.exp(tilted - scale))
        cut, distribution = _likely(np.convolve(distribution, chances))
        first, log_scale = first + start + cut, log_scale + scale
    values = first + np.arange(len(distribution))
    reaching = values >= at_least - lowest
    logs = np.log(distribution[reaching]) - tilt * values[reaching]
    return min(0.0, float(special.logsumexp(logs)) + log_scale)


def _likely(chances: Array) -> tuple[int, Array]:
    """The part that counts, and where it begins: the rest would be convolved for nothing."""
    places = np.flatnonzero(chances > _NEGLIGIBLE)
    return int(places[0]), chances[places[0] : places[-1] + 1]


def _chance(logarithm: float) -> float:
    """A chance that is there is not shown as 0: the smallest number stands for smaller ones."""
    return max(float(np.exp(logarithm)), LEAST_CHANCE)


def _tilt(parts: Sequence[Draws], at_least: int) -> float:
    """The tilt that makes ``at_least`` the mean; none where it is not above it."""
    from scipy import optimize

    if at_least <= sum(part.expected for part in parts):
        return 0.0

    def excess(tilt: float) -> float:
        mean = 0.0
        for part in parts:
            values = np.arange(len(part.log_chances))
            mean += part.lowest + float(values @ special.softmax(part.log_chances + tilt * values))
        return mean - at_least

    highest = 1.0
    while excess(highest) < 0 and highest < _STEEPEST:
        highest *= 2
    return highest if excess(highest) < 0 else float(optimize.brentq(excess, 0.0, highest, xtol=1e-3))


def correlation(a: Array, b: Array) -> float:
    """Pearson's coefficient; NaN if one is constant.

    Products and sums, not ``@``: that wakes the threads of a linear algebra library, which takes longer.
    """
    a, b = a - a.mean(), b - b.mean()
    scale = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / scale if scale > 0 else float("nan")
