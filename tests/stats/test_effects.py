"""Causal effects and their intervals against hand computations."""

import numpy as np
import pytest

from snql.stats.effects import Bootstrap, causal_effect


def test_effect_is_the_ratio_of_mean_changes() -> None:
    recipient, donor = np.array([4.0, 6.0, 5.0, 5.0]), np.array([-4.0, -6.0, -5.0, -5.0])
    patched = np.array([0.0, 2.0, 1.0, 1.0])
    found = causal_effect(recipient, donor, patched, Bootstrap.draw(4))
    assert found.gap is not None
    assert found.gap.value == -10.0
    assert found.change.value == -4.0
    assert found.effect is not None
    assert found.effect.value == pytest.approx(0.4)
    assert (found.mean_recipient, found.mean_donor, found.mean_patched, found.n_prompts) == (5.0, -5.0, 1.0, 4)


def test_all_and_nothing() -> None:
    generator = np.random.default_rng(0)
    recipient, donor = generator.normal(5, 1, 50), generator.normal(-5, 1, 50)
    bootstrap = Bootstrap.draw(50)
    all_of_it = causal_effect(recipient, donor, donor, bootstrap).effect
    nothing = causal_effect(recipient, donor, recipient, bootstrap).effect
    assert all_of_it is not None
    assert nothing is not None
    assert (all_of_it.low, all_of_it.value, all_of_it.high) == pytest.approx((1, 1, 1))
    assert (nothing.low, nothing.value, nothing.high) == (0, 0, 0)


def test_a_gap_that_may_be_zero_has_no_effect() -> None:
    generator = np.random.default_rng(1)
    recipient, donor = generator.normal(0, 1, 40), generator.normal(0, 1, 40)
    found = causal_effect(recipient, donor, donor + 5, Bootstrap.draw(40))
    assert found.gap is not None
    assert found.gap.low < 0 < found.gap.high
    assert found.effect is None
    assert found.change.low > 0


def test_intervals_are_those_of_resampling_prompts_one_by_one() -> None:
    """The same resamples, but each drawn out as a list of prompts and averaged the slow way."""
    generator = np.random.default_rng(2)
    recipient, donor, patched = generator.normal([[5], [-5], [0]], 3, (3, 20))
    bootstrap = Bootstrap.draw(20, resamples=300, seed=4)
    ratios = []
    for counts in bootstrap.counts.astype(int):
        drawn = np.repeat(np.arange(20), counts)
        assert len(drawn) == 20
        ratios.append(
            (patched[drawn].mean() - recipient[drawn].mean()) / (donor[drawn].mean() - recipient[drawn].mean())
        )
    found = causal_effect(recipient, donor, patched, bootstrap).effect
    assert found is not None
    assert (found.low, found.high) == pytest.approx(tuple(np.quantile(ratios, [0.025, 0.975])))


def test_intervals_cover_the_truth_about_as_often_as_they_say() -> None:
    covered = 0
    for seed in range(200):
        generator = np.random.default_rng(seed)
        recipient = generator.normal(5, 2, 60)
        donor, patched = recipient - 8 + generator.normal(0, 2, 60), recipient - 4 + generator.normal(0, 2, 60)
        effect = causal_effect(recipient, donor, patched, Bootstrap.draw(60, resamples=400, seed=seed)).effect
        covered += effect is not None and effect.covers(0.5)
    assert 0.90 <= covered / 200 <= 0.99


def test_the_seed_decides() -> None:
    assert (Bootstrap.draw(9, seed=1).counts == Bootstrap.draw(9, seed=1).counts).all()
    assert (Bootstrap.draw(9, seed=1).counts != Bootstrap.draw(9, seed=2).counts).any()


def test_one_prompt_has_no_interval_and_so_no_effect() -> None:
    one = np.array([5.0]), np.array([-5.0]), np.array([0.0])
    assert causal_effect(*one, Bootstrap.draw(1)).effect is None
