"""Causal effects and their intervals against hand computations."""

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy import optimize, stats

from snql.stats.effects import (
    Array,
    causal_effect,
    effect_interval,
    fieller,
    large,
    mean_interval,
    ratio_interval,
    share_interval,
)
from snql.stats.interval import Interval

GENERATOR = np.random.default_rng(2)
GAPS = GENERATOR.normal(-8, 3, 24)
CHANGES = 0.4 * GAPS + GENERATOR.normal(0, 2, 24)


def ends(interval: Interval | None) -> tuple[float, float]:
    assert interval is not None
    return interval.low, interval.high


def test_effect_is_the_ratio_of_mean_changes() -> None:
    recipient, donor = np.array([4.0, 6.0, 5.0, 5.0] * 2), np.array([-4.0, -6.0, -5.0, -5.0] * 2)
    patched = np.array([0.0, 2.0, 1.0, 1.0] * 2)
    found = causal_effect(recipient, donor, patched)
    assert (found.gap, found.change) == (-10.0, -4.0)
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.4)
    assert (found.mean_recipient, found.mean_donor, found.mean_patched, found.n_prompts) == (5.0, -5.0, 1.0, 8)


def test_a_large_change() -> None:
    assert large(np.array([0.0, 0.0, -3.0, 0.0, 3.0])) == pytest.approx(3)
    assert large(np.array([0.01, 1.0, 0.0, -0.02])) == pytest.approx(1, rel=1e-3)
    assert large(np.random.default_rng(0).normal(0, 2, 200_000)) == pytest.approx(2 * math.sqrt(3), rel=0.02)
    assert large(np.zeros(3)) == 0


@pytest.mark.parametrize("scale_of", [None, GAPS])
def test_an_interval_of_a_mean_is_students_with_two_further_prompts(scale_of: Array | None) -> None:
    values = CHANGES if scale_of is None else scale_of
    size = np.sqrt(np.sum(values**4) / np.sum(values**2))
    more = [*CHANGES, size, -size]
    half = stats.t.ppf(0.975, 23) * np.std(more, ddof=1) / np.sqrt(26)
    assert ends(mean_interval(CHANGES, scale_of)) == pytest.approx((np.mean(more) - half, np.mean(more) + half))


def test_an_effect_reaches_as_far_as_its_numerator_may_be_none() -> None:
    """Fieller's bounds by looking for them: where Student's t of changes - ratio gaps is that of 95%."""
    whole = -np.sqrt(np.sum(GAPS**4) / np.sum(GAPS**2))
    changes, gaps = [*CHANGES, whole, 0.0], [*GAPS, whole, whole]

    def excess(ratio: float) -> float:
        return float(stats.ttest_1samp(np.array(changes) - ratio * np.array(gaps), 0).statistic ** 2) - (
            stats.t.ppf(0.975, 23) ** 2
        )

    middle = np.sum(changes) / np.sum(gaps)
    expected = optimize.brentq(excess, -5, middle), optimize.brentq(excess, middle, 5)
    found = effect_interval(CHANGES, GAPS)
    assert found is not None
    assert found.value == pytest.approx(CHANGES.mean() / GAPS.mean())
    assert ends(found) == pytest.approx(expected)


def test_a_ratio_of_sums_is_fiellers_without_further_prompts() -> None:
    found = ratio_interval(CHANGES, GAPS)
    for bound in ends(found):
        t = stats.ttest_1samp(CHANGES - bound * GAPS, 0).statistic
        assert abs(t) == pytest.approx(stats.t.ppf(0.975, 23))
    assert ratio_interval(CHANGES, GAPS - GAPS.mean()) is None  # what it is divided by may be 0
    assert ratio_interval(CHANGES[:1], GAPS[:1]) is None


def test_a_ratio_has_no_bounds_from_where_its_denominator_may_be_none() -> None:
    assert fieller(1.0, 2.0, (0.1, 0.0, 1.0), 2.0) is None
    assert fieller(1.0, 2.0, (0.0, 0.0, 0.0), 2.0) == (0.5, 0.5)
    assert fieller(1.0, 2.0, (0.0, 0.0, 0.75), 2.0) == pytest.approx((2 - 3**0.5, 2 + 3**0.5))


def test_a_share_of_gaps_that_cancel_out_is_undefined() -> None:
    """Further prompts must not stand in for a gap that is not there."""
    assert share_interval(np.ones(8), np.tile([1.0, -1.0], 4)) is None
    assert share_interval(np.zeros(8), np.zeros(8)) is None


def test_a_share_needs_two_prompts() -> None:
    assert share_interval(np.ones(1), np.ones(1)) is None
    assert share_interval(np.array([0.4, 0.6]), np.array([1.0, 1.1])) is not None


def test_all_and_nothing_are_not_certain() -> None:
    recipient, donor = GENERATOR.normal(5, 1, 50), GENERATOR.normal(-5, 1, 50)
    all_of_it = causal_effect(recipient, donor, donor).effect
    nothing = causal_effect(recipient, donor, recipient).effect
    assert all_of_it is not None and nothing is not None
    assert (all_of_it.value, nothing.value) == (1, 0)
    assert all_of_it.low == pytest.approx(1 - nothing.high)
    assert all_of_it.high == pytest.approx(1 - nothing.low) and all_of_it.high >= 1
    assert 0.03 < nothing.high < 0.1


def test_units_of_the_judge_do_not_matter() -> None:
    one, other = effect_interval(CHANGES, GAPS), effect_interval(-100 * CHANGES, -100 * GAPS)
    assert one is not None and other is not None
    assert (one.value, *ends(one)) == pytest.approx((other.value, *ends(other)))
    assert ends(mean_interval(-100 * CHANGES)) == pytest.approx(
        [-100 * end for end in ends(mean_interval(CHANGES))][::-1]
    )


def test_a_gap_that_may_be_zero_has_no_effect() -> None:
    generator = np.random.default_rng(1)
    recipient, donor = generator.normal(0, 1, 40), generator.normal(0, 1, 40)
    found = causal_effect(recipient, donor, donor + 5)
    assert found.gap_interval is not None and found.change_interval is not None
    assert found.gap_interval.low < 0 < found.gap_interval.high
    assert found.effect is None
    assert found.change_interval.low > 0


@pytest.mark.parametrize(("n", "defined"), [(1, False), (2, False), (5, False), (6, True), (7, True)])
def test_it_takes_six_prompts_to_show_a_gap(n: int, defined: bool) -> None:
    """As for a sign test: of five prompts all change the same way by chance in one of 16, of six in one of 32."""
    found = causal_effect(np.ones(n), np.zeros(n), np.zeros(n))
    assert (found.gap, found.change) == (-1, -1)
    assert (found.gap_interval is None) == (found.change_interval is None) == (n == 1)
    assert (found.effect is not None) == defined


@pytest.mark.parametrize("n", [6, 10, 20, 50, 100, 200])
def test_intervals_of_all_or_nothing_effects_cover_in_93_percent_however_rare_they_are(n: int) -> None:
    """Exactly: the chance of each number of changed prompts, and whether its interval has the truth in it."""
    found = [ends(effect_interval(np.repeat([1.0, 0.0], [k, n - k]), np.ones(n))) for k in range(n + 1)]
    for percent in range(2, 99):
        share = percent / 100
        chances = stats.binom.pmf(np.arange(n + 1), n, share)
        covered = sum(chance for chance, (low, high) in zip(chances, found, strict=True) if low <= share <= high)
        assert covered >= 0.93, f"{share}: {covered}"


def test_intervals_of_effects_of_few_prompts_in_many_cover() -> None:
    """Exactly, too: a third of 30 prompts have a gap, of which each may change."""
    gaps = np.repeat([1.0, 0.0], [10, 20])
    found = [ends(effect_interval(np.repeat([1.0, 0.0], [k, 30 - k]), gaps)) for k in range(11)]
    for share in (Fraction(n, 50) for n in range(1, 50)):
        chances = stats.binom.pmf(np.arange(11), 10, float(share))
        covered = sum(chance for chance, (low, high) in zip(chances, found, strict=True) if low <= share <= high)
        assert covered >= 0.93
