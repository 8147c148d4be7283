"""Ratios of sizes, against resampling by hand."""

import numpy as np
import pytest

from snql.stats.effects import Array
from snql.stats.magnitudes import size_ratio

GENERATOR = np.random.default_rng(3)
COST = GENERATOR.normal(-4, 1, 40)
REWARD = 0.5 * COST + GENERATOR.normal(0, 0.1, 40)


def resampled(values: Array, seed: int) -> Array:
    counts = np.random.default_rng(seed).multinomial(len(values), [1 / len(values)] * len(values), size=2000)
    return np.array([np.repeat(values, draws).mean() for draws in counts])


@pytest.mark.parametrize("paired", [True, False])
def test_a_ratio_of_sizes_by_hand(paired: bool) -> None:
    found = size_ratio(COST, REWARD, paired=paired, seed=5)
    assert found is not None
    ratios = np.abs(resampled(COST, 5)) / np.abs(resampled(REWARD, 5 if paired else 6))
    assert found.value == pytest.approx(abs(COST.mean()) / abs(REWARD.mean()))
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))


def test_pairing_narrows_what_moves_together() -> None:
    paired, apart = (size_ratio(COST, REWARD, paired=paired, seed=0) for paired in (True, False))
    assert paired is not None and apart is not None
    assert paired.high - paired.low < 0.5 * (apart.high - apart.low)


def test_no_ratio_where_a_change_may_be_none() -> None:
    nothing = np.tile([-1.0, 1.0], 20)
    for over, under in ((COST, nothing), (nothing, REWARD), (COST[:1], REWARD[:1]), (COST, np.zeros(40))):
        assert size_ratio(over, under, paired=True, seed=0) is None


def test_signs_do_not_matter() -> None:
    assert size_ratio(COST, REWARD, paired=True, seed=0) == size_ratio(-COST, REWARD, paired=True, seed=0)
