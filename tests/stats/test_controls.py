"""A set against its controls: against scipy, and against all sign flips counted out."""

from itertools import product

import numpy as np
import pytest
from scipy import stats

from snql.stats.controls import against_controls, sign_flip_p_value
from snql.stats.effects import effect_interval, mean_interval

GENERATOR = np.random.default_rng(5)
PATCHED = GENERATOR.normal(-2, 2, 30)
CONTROLS = GENERATOR.normal(3, 1, (5, 30))
GAP = GENERATOR.normal(-8, 2, 30)


def test_difference_t_and_effect() -> None:
    found = against_controls(PATCHED, CONTROLS, GAP, 7)
    differences = (PATCHED - CONTROLS).mean(axis=0)
    assert (found.n_prompts, found.n_controls) == (30, 5)
    assert found.mean_controls == pytest.approx(CONTROLS.mean())
    assert found.difference == pytest.approx(differences.mean())
    assert found.difference_interval == mean_interval(differences, GAP)
    assert found.effect == effect_interval(differences, GAP)
    expected = stats.ttest_1samp(differences, 0)
    assert (found.t, found.t_p_value) == pytest.approx((expected.statistic, expected.pvalue))
    assert found.permutation_p_value == pytest.approx(1 / 10_001)
    assert found.permutation_p_value == sign_flip_p_value(differences, 7)


def test_permutation_p_value_is_the_share_of_all_sign_flips() -> None:
    differences = np.array([1.0, 2.0, -0.5, 3.0, 0.25, -1.0, 1.5, 0.75])
    sums = [abs(sum(s * d for s, d in zip(signs, differences, strict=True))) for signs in product((-1, 1), repeat=8)]
    exact = np.mean([total >= abs(differences.sum()) - 1e-9 for total in sums])
    assert sign_flip_p_value(differences, seed=1) == pytest.approx(exact, abs=0.015)
    assert sign_flip_p_value(differences, 1) == sign_flip_p_value(differences, 1)


def test_a_seed_draws_the_same_flips_in_every_version() -> None:
    """By thousands, from a stream of the seed's own."""
    generator, drawn = np.random.default_rng([3, 1]), GENERATOR.normal(0.4, 1, 9)
    flips = np.concatenate([generator.integers(0, 2, (n, 9), dtype=np.int8) for n in (1000, 500)])
    sums = np.abs(np.where(flips == 1, drawn, -drawn).sum(axis=1))
    expected = (1 + np.sum(sums >= abs(drawn.sum()) - 1e-9)) / 1501
    assert 0.01 < expected == sign_flip_p_value(drawn, 3, permutations=1500)


def test_p_values_are_uniform_where_nothing_differs() -> None:
    generator = np.random.default_rng(2)
    found = [sign_flip_p_value(generator.normal(0, 1, 20), seed, permutations=500) for seed in range(300)]
    assert np.mean(np.array(found) <= 0.1) == pytest.approx(0.1, abs=0.05)


def test_no_difference_at_all_is_said_to_be_none() -> None:
    same = np.tile(PATCHED, (3, 1))
    found = against_controls(PATCHED, same, None, 0)
    assert found.difference_interval is not None
    assert (found.difference, found.difference_interval.low, found.difference_interval.high) == (0, 0, 0)
    assert (found.t, found.t_p_value, found.permutation_p_value, found.effect) == (None, None, 1.0, None)


@pytest.mark.parametrize("value", [1 / 3, 0.2, -7.1])
def test_one_difference_for_all_prompts_has_no_t(value: float) -> None:
    found = against_controls(np.full(20, value), np.zeros((3, 20)), None, 0)
    assert (found.t, found.t_p_value) == (None, None)
    assert found.difference == pytest.approx(value)


def test_a_gap_that_may_be_zero_leaves_no_effect() -> None:
    found = against_controls(PATCHED, CONTROLS, GENERATOR.normal(0, 1, 30), 0)
    assert found.effect is None
    assert found.difference_interval is not None
    assert found.difference_interval.high < 0
