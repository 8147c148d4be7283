"""Ratios of sums and closed shares over resampled texts, against loops written out."""

import numpy as np
import pytest

from snql.stats import pooled
from snql.stats.closing import Closings
from snql.stats.effects import Bootstrap
from snql.stats.pooled import resampled_sums


def test_ratios_resample_texts_as_effects_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pooled, "_DRAWN_AT_ONCE", 70)  # 10 resamples of 7 texts at a time
    values = np.random.default_rng(1).gamma(2.0, size=(7, 2))
    found = resampled_sums(values, seed=5, resamples=200)
    counts = Bootstrap.draw(7, 200, seed=5).counts
    drawn = [sum(c * v for c, v in zip(row, values, strict=True)) for row in counts]
    ratio, interval = found.ratio(0, 1)
    assert ratio == pytest.approx(values[:, 0].sum() / values[:, 1].sum())
    assert interval is not None
    assert (interval.low, interval.high) == pytest.approx(
        tuple(np.quantile([over / under for over, under in drawn], [0.025, 0.975]))
    )


def test_a_closed_share_and_what_it_has_over_controls() -> None:
    generator = np.random.default_rng(2)
    tokens = generator.integers(3, 9, 6).astype(float)
    kl = generator.gamma(2.0, size=(6, 4))
    agreeing = generator.integers(0, 3, (6, 4)).astype(float)
    found = Closings(tokens, kl, agreeing, 1e-12, seed=3).of(1, [2, 3])
    assert (found.n_prompts, found.n_tokens) == (6, tokens.sum())
    assert found.kl_recipient == pytest.approx(kl[:, 0].sum() / tokens.sum())
    assert found.kl_patched == pytest.approx(kl[:, 1].sum() / tokens.sum())
    assert found.agreement_patched == pytest.approx(agreeing[:, 1].sum() / tokens.sum())
    shares, differences = [], []
    for times in Bootstrap.draw(6, seed=3).counts:
        sums = times @ kl
        shares.append(1 - sums[1] / sums[0])
        differences.append(shares[-1] - (1 - (sums[2] + sums[3]) / 2 / sums[0]))
    assert found.closed is not None
    assert found.over is not None
    assert found.over.difference is not None
    closed = 1 - kl[:, 1].sum() / kl[:, 0].sum()
    theirs = np.mean([1 - kl[:, place].sum() / kl[:, 0].sum() for place in (2, 3)])
    assert (found.closed.value, found.over.controls_closed) == pytest.approx((closed, theirs))
    assert found.over.difference.value == pytest.approx(closed - theirs)
    assert (found.closed.low, found.closed.high) == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))
    assert (found.over.difference.low, found.over.difference.high) == pytest.approx(
        tuple(np.quantile(differences, [0.025, 0.975]))
    )


@pytest.mark.parametrize("kl", [np.full((3, 2), 1e-14), np.array([[1.0, 0.5]])])
def test_a_share_of_nothing_or_of_one_prompt_is_undefined(kl: np.ndarray) -> None:
    found = Closings(np.full(len(kl), 4.0), kl, kl, 1e-12, seed=0).of(1)
    assert found.closed is None
    assert found.kl_recipient == pytest.approx(kl[:, 0].sum() / (4 * len(kl)))


def test_a_resample_without_divergence_closes_nothing() -> None:
    kl = np.array([[0.0, 0.0], [2.0, 1.0]])
    found = Closings(np.ones(2), kl, kl, 1e-12, seed=0).of(1)
    assert found.closed is not None
    assert (found.closed.value, found.closed.low, found.closed.high) == (0.5, 0.0, 0.5)
