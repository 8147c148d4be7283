"""Resampling of prompts, against plain Python."""

import math

import numpy as np
import pytest

from snql.stats.resampling import bootstrap_weights, half_weights, intervals, scores_of, spearman_brown, top_of


def test_weights() -> None:
    drawn = bootstrap_weights(7, 400, 3)
    assert (drawn.sum(axis=1) == 7).all()
    assert drawn.mean() == pytest.approx(1)
    assert np.array_equal(drawn, bootstrap_weights(7, 400, 3))
    assert not np.array_equal(drawn, bootstrap_weights(7, 400, 4))
    halves = half_weights(7, 50, 3)
    assert set(np.unique(halves)) == {0, 1}
    assert (halves.sum(axis=1) == 3).all()
    assert len({tuple(row) for row in halves}) > 20


@pytest.mark.parametrize("routed", [False, True])
def test_scores_and_intervals_by_hand(routed: bool) -> None:
    generator = np.random.default_rng(1)
    squared = generator.random((5, 4))
    counts = generator.integers(0, 3, (5, 4)).astype(float) if routed else np.repeat([[1.0], [2], [3], [4], [5]], 4, 1)
    squared[counts == 0] = 0
    counts[:, 3] = 0 if routed else counts[:, 3]
    weights = bootstrap_weights(5, 60, 0)
    found = scores_of(weights, squared, counts)
    for row, drawn in enumerate(weights):
        for neuron in range(4):
            total = sum(w * s for w, s in zip(drawn, squared[:, neuron], strict=True))
            tokens = sum(w * n for w, n in zip(drawn, counts[:, neuron], strict=True))
            if tokens:
                assert found[row, neuron] == pytest.approx(math.sqrt(total / tokens))
            else:
                assert not np.isfinite(found[row, neuron])
    known = found[:, :3]
    spread = intervals(np.where(np.isfinite(known), known, np.nan))
    for neuron in range(3):
        values = sorted(value for value in known[:, neuron] if np.isfinite(value))
        assert spread.low[neuron] == pytest.approx(np.percentile(values, 2.5))
        assert spread.high[neuron] == pytest.approx(np.percentile(values, 97.5))
        mean = sum(values) / len(values)
        variance = sum((value - mean) ** 2 for value in values) / (len(values) - 1)
        assert spread.standard_error[neuron] == pytest.approx(math.sqrt(variance))


def test_the_interval_of_a_bootstrap_covers_the_truth() -> None:
    """Simulated prompts of a known score: the 95 % interval holds it in about 95 of 100 samples."""
    generator = np.random.default_rng(2)
    covered = 0
    for sample in range(300):
        squared = generator.gamma(2, 10, size=(80, 1))  # 20 tokens of mean square 1
        scores = scores_of(bootstrap_weights(80, 400, sample), squared, np.full((80, 1), 20.0))
        found = intervals(scores)
        covered += bool(found.low[0] <= 1 <= found.high[0])
    assert 0.90 <= covered / 300 <= 0.98


def test_spearman_brown() -> None:
    assert spearman_brown(0.5) == pytest.approx(2 / 3)
    assert spearman_brown(1) == 1
    assert math.isnan(spearman_brown(-1))


@pytest.mark.parametrize("k", [1, 3, 5, 7])
def test_the_top_of_equal_scores_is_that_of_a_ranking(k: int) -> None:
    scores = np.array([1.0, 2, 2, np.nan, 2, 0, 2])
    ranked = sorted(range(7), key=lambda place: (-np.nan_to_num(scores, nan=-1.0)[place], place))
    assert sorted(top_of(scores, k).tolist()) == sorted(ranked[:k])
