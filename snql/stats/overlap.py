"""How much two rankings share at the top, beside what chance would share."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import stats

from snql.errors import InputError
from snql.neurons.sets import Ids

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class RankedScores:
    """A run's ranked neurons: flat ids best first, their scores, and the layer of each; all of shape (ranked,)."""

    run: str
    ids: Ids
    scores: Array
    layers: Ids


@dataclass(frozen=True)
class Overlap:
    """Overlap of the top k of two rankings.

    overlap: |A & B| / k. chance: its expectation for random sets of size k; chance_by_layer: for random sets with
    the same number of neurons in each layer as A and B; each with the probability of an overlap at least this large.
    spearman_all: rank correlation of scores over all ranked neurons. spearman_common: over A & B only, which is
    high even for unrelated tops that agree on little, so never read it alone; None with fewer than three neurons.
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
    spearman_all: float
    spearman_common: float | None


def overlap(a: RankedScores, b: RankedScores, k: int) -> Overlap:
    """Compare the top k of two rankings of the same neurons.

    Raises InputError if they rank different neurons, or if k is not between 1 and their number.
    """
    n_ranked = len(a.ids)
    if not np.array_equal(np.sort(a.ids), np.sort(b.ids)):
        raise InputError(
            f"runs {a.run!r} and {b.run!r} rank different neurons ({n_ranked} and {len(b.ids)}): compare runs of "
            "models of one shape with the same --skip-last-layers"
        )
    if not 1 <= k <= n_ranked:
        raise InputError(f"--top gives {k} neurons: it must be between 1 and the {n_ranked} that are ranked")
    common = np.intersect1d(a.ids[:k], b.ids[:k])
    shared = len(common)
    chance_by_layer, p_by_layer = _by_layer(a, b, k, shared)
    return Overlap(
        run_a=a.run,
        run_b=b.run,
        k=k,
        n_ranked=n_ranked,
        shared=shared,
        overlap=shared / k,
        jaccard=shared / (2 * k - shared),
        chance=k / n_ranked,
        p_value=float(stats.hypergeom.sf(shared - 1, n_ranked, k, k)),
        chance_by_layer=chance_by_layer / k,
        p_value_by_layer=p_by_layer,
        spearman_all=_spearman(a, b, a.ids),
        spearman_common=_spearman(a, b, common) if shared > 2 else None,
    )


def _by_layer(a: RankedScores, b: RankedScores, k: int, shared: int) -> tuple[float, float]:
    """Expected shared neurons when each layer's choice is random, and the chance of at least ``shared``.

    The layers' hypergeometric distributions are independent, so their sum's is the convolution.
    """
    distribution, expected = np.ones(1), 0.0
    for layer in np.unique(a.layers):
        size = int((a.layers == layer).sum())
        in_a, in_b = int((a.layers[:k] == layer).sum()), int((b.layers[:k] == layer).sum())
        expected += in_a * in_b / size
        values = np.arange(min(in_a, in_b) + 1)
        distribution = np.convolve(distribution, stats.hypergeom.pmf(values, size, in_a, in_b))
    return expected, float(min(distribution[shared:].sum(), 1.0))


def _spearman(a: RankedScores, b: RankedScores, ids: Ids) -> float:
    scores_a, scores_b = (run.scores[np.argsort(run.ids)] for run in (a, b))
    places = np.searchsorted(np.sort(a.ids), ids)
    return float(stats.spearmanr(scores_a[places], scores_b[places]).statistic)
