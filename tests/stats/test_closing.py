"""Closed shares of divergence, against sums written out."""

import numpy as np
import pytest

from snql.stats.closing import Closings
from snql.stats.effects import ratio_interval, share_interval


def test_a_closed_share_and_what_it_has_over_controls() -> None:
    generator = np.random.default_rng(2)
    tokens = generator.integers(3, 9, 12).astype(float)
    kl = generator.gamma(2.0, size=(12, 4))
    agreeing = generator.integers(0, 3, (12, 4)).astype(float)
    found = Closings(tokens, kl, agreeing, 1e-12).of(1, [2, 3])
    assert (found.n_prompts, found.n_tokens) == (12, tokens.sum())
    assert found.kl_recipient == pytest.approx(kl[:, 0].sum() / tokens.sum())
    assert found.kl_patched == pytest.approx(kl[:, 1].sum() / tokens.sum())
    assert found.kl_patched_interval == ratio_interval(kl[:, 1], tokens)
    assert found.agreement_recipient == pytest.approx(agreeing[:, 0].sum() / tokens.sum())
    assert found.agreement_patched == pytest.approx(agreeing[:, 1].sum() / tokens.sum())
    assert found.closed is not None
    assert found.over is not None
    assert found.over.difference is not None
    closed = 1 - kl[:, 1].sum() / kl[:, 0].sum()
    theirs = np.mean([1 - kl[:, place].sum() / kl[:, 0].sum() for place in (2, 3)])
    assert (found.closed.value, found.over.controls_closed) == pytest.approx((closed, theirs))
    assert found.over.difference.value == pytest.approx(closed - theirs)
    assert found.closed == share_interval(kl[:, 0] - kl[:, 1], kl[:, 0])
    assert found.over.difference == share_interval((kl[:, 2] + kl[:, 3]) / 2 - kl[:, 1], kl[:, 0])


@pytest.mark.parametrize("kl", [np.full((8, 2), 1e-14), np.full((8, 2), 4e-12), np.array([[1.0, 0.5]])])
def test_a_share_of_nothing_or_of_one_prompt_is_undefined(kl: np.ndarray) -> None:
    found = Closings(np.full(len(kl), 4.0), kl, kl, 1e-12).of(1)
    assert found.closed is None
    assert found.kl_recipient == pytest.approx(kl[:, 0].sum() / (4 * len(kl)))
