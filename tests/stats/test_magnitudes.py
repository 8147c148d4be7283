"""Ratios of sizes, against tests of hypotheses written out."""

import numpy as np
import pytest
from scipy import stats

from snql.stats.effects import Array
from snql.stats.interval import Interval
from snql.stats.magnitudes import Changes, size_ratio

GENERATOR = np.random.default_rng(3)
COST = GENERATOR.normal(-4, 1, 40)
REWARD = 0.5 * COST + GENERATOR.normal(0, 0.1, 40)
GAPS = GENERATOR.normal(-3, 1, 40)


def ratio(over: Array, under: Array, *, paired: bool) -> Interval | None:
    return size_ratio(Changes(over, GAPS[: len(over)]), Changes(under, GAPS[: len(under)]), paired=paired)


def variance(values: Array) -> float:
    """Of the mean, with a large change and its opposite added."""
    size = np.sqrt(np.sum(GAPS**4) / np.sum(GAPS**2))
    return float(np.var([*values, size, -size], ddof=1)) / (len(values) + 2)


@pytest.mark.parametrize("paired", [True, False])
def test_a_ratio_of_sizes_by_hand(paired: bool) -> None:
    found = ratio(COST, REWARD, paired=paired)
    assert found is not None
    assert found.value == pytest.approx(COST.mean() / REWARD.mean())
    together = np.cov(COST, REWARD)[0, 1] / 40 if paired else 0.0
    for bound in (found.low, found.high):
        spread = variance(COST) - 2 * bound * together + bound**2 * variance(REWARD)
        t = (COST.mean() - bound * REWARD.mean()) / np.sqrt(spread)
        assert abs(t) == pytest.approx(stats.t.ppf(0.975, 39))
    assert found.low < found.value < found.high


def test_pairing_narrows_what_moves_together() -> None:
    paired, apart = (ratio(COST, REWARD, paired=paired) for paired in (True, False))
    assert paired is not None and apart is not None
    assert paired.high - paired.low < 0.8 * (apart.high - apart.low)


def test_no_ratio_where_a_change_may_be_none() -> None:
    nothing = np.tile([-1.0, 1.0], 20)
    for over, under in ((COST, nothing), (nothing, REWARD), (COST[:1], REWARD[:1]), (COST, np.zeros(40))):
        assert ratio(over, under, paired=True) is None


def test_signs_do_not_matter() -> None:
    for paired in (True, False):
        assert ratio(COST, REWARD, paired=paired) == ratio(-COST, REWARD, paired=paired)


def test_data_sets_of_other_sizes() -> None:
    found = size_ratio(Changes(COST[:20], GAPS[:20]), Changes(REWARD, GAPS), paired=False)
    assert found is not None
    assert found.low < COST[:20].mean() / REWARD.mean() < found.high
