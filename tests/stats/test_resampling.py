"""Resampling of prompts, against plain Python."""

import math
from collections.abc import Sequence

import numpy as np
import pytest
from scipy import stats

from snql.stats.resampling import (
    bootstrap_weights,
    half_weights,
    scores_of,
    spearman_brown,
    top_of,
)
from snql.stats.scores import score_intervals


def test_weights() -> None:
    drawn = bootstrap_weights(7, 400, 3)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean() == pytest.approx(1)
    assert np.array_equal(drawn, bootstrap_weights(7, 400, 3))
    assert not np.array_equal(drawn, bootstrap_weights(7, 400, 4))
    halves = half_weights(7, 50, 3)
    assert set(np.unique(halves)) == {0, 1}
    assert (halves.sum(axis=1) == 3).all()
    generator = np.random.default_rng([3, 7, 50])
    firsts = [sorted(generator.permutation(7)[:3].tolist()) for _ in range(50)]
    assert [np.flatnonzero(row).tolist() for row in halves] == firsts


@pytest.mark.parametrize(("n", "routed"), [(2, False), (5, False), (5, True), (40, False)])
def test_scores_and_intervals_by_hand(n: int, routed: bool) -> None:
    generator = np.random.default_rng(1)
    squared = generator.random((n, 4))
    alike = np.repeat(1.0 + np.arange(n)[:, None] % 5, 4, 1)
    counts = generator.integers(0, 3, (n, 4)).astype(float) if routed else alike
    squared[counts == 0] = 0
    counts[:, 3] = 0 if routed else counts[:, 3]
    weights = bootstrap_weights(n, 60, 0)
    found = scores_of(weights, squared, counts)
    for row, drawn in enumerate(weights):
        for neuron in range(4):
            total = sum(w * s for w, s in zip(drawn, squared[:, neuron], strict=True))
            tokens = sum(w * n for w, n in zip(drawn, counts[:, neuron], strict=True))
            if tokens:
                assert found[row, neuron] == pytest.approx(math.sqrt(total / tokens))
            else:
                assert not np.isfinite(found[row, neuron])
    sure = score_intervals(squared, counts)
    assert np.isnan(sure.low[3]) == routed
    assert np.isfinite(sure.low[:3]).any() and (n < 40 or sure.low.min() > 0)
    for neuron in range(3):
        reached = [(x, tokens) for x, tokens in zip(squared[:, neuron], counts[:, neuron], strict=True) if tokens]
        if len(reached) < 2:
            assert np.isnan([sure.low[neuron], sure.high[neuron], sure.standard_error[neuron]]).all()
            continue
        low, score, error = by_hand(reached, len(reached), -1)
        sums = [x for x, _ in reached]
        large = math.sqrt(sum(x**4 for x in sums) / sum(x**2 for x in sums))
        more = [*reached, (large, sum(tokens for _, tokens in reached) / len(reached))]
        assert sure.low[neuron] == pytest.approx(math.sqrt(max(low, 0)))
        assert sure.high[neuron] == pytest.approx(math.sqrt(by_hand(more, len(reached), 1)[0]))
        assert sure.standard_error[neuron] == pytest.approx(error / (2 * math.sqrt(score)))


def by_hand(prompts: Sequence[tuple[float, float]], n_reached: int, sign: int) -> tuple[float, float, float]:
    """An end of the interval of a mean square, the mean square, and its standard error."""
    tokens = sum(n for _, n in prompts)
    mean = sum(x for x, _ in prompts) / tokens
    spread = sum((x - mean * n) ** 2 for x, n in prompts) / (len(prompts) - 1) * len(prompts)
    error = math.sqrt(spread) / tokens
    return mean + sign * float(stats.t.ppf(0.975, n_reached - 1)) * error, mean, error


def test_one_prompt_and_nothing_at_all() -> None:
    alone = score_intervals(np.array([[4.0, 0.0]]), np.array([[2.0, 3.0]]))
    assert np.isnan([alone.low, alone.high, alone.standard_error]).all()
    nothing = score_intervals(np.zeros((3, 1)), np.ones((3, 1)))
    assert (nothing.low[0], nothing.high[0], nothing.standard_error[0]) == (0, 0, 0)


@pytest.mark.parametrize(("n", "least"), [(5, 0.9), (20, 0.93), (80, 0.93)])
def test_intervals_of_scores_cover_the_truth(n: int, least: float) -> None:
    """Simulated prompts of a known score, of other lengths: it is in the 95% interval of that share of samples."""
    generator = np.random.default_rng(2)
    tokens = generator.integers(5, 40, (n, 4000)).astype(float)
    found = score_intervals(tokens * generator.gamma(2, 0.5, (n, 4000)), tokens)  # mean squares of 1
    covered = ((found.low <= 1) & (found.high >= 1)).mean()
    assert least <= covered <= 0.98


def test_spearman_brown() -> None:
    assert spearman_brown(0.5) == pytest.approx(2 / 3)
    assert spearman_brown(1) == 1
    assert math.isnan(spearman_brown(-1))


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_the_top_of_equal_scores_is_that_of_a_ranking(k: int) -> None:
    scores = np.array([1.0, 2, 2, np.nan, 2, 0, 2])
    ranked = sorted(range(7), key=lambda place: (-np.nan_to_num(scores, nan=-1.0)[place], place))
    assert sorted(top_of(scores, k).tolist()) == sorted(ranked[:k])
