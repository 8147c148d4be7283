"""Resamples of prompts."""

import numpy as np
import pytest

from snql.stats import bootstrap
from snql.stats.bootstrap import RESAMPLES, drawn_counts, percentile_interval


def test_resamples_draw_as_many_prompts_and_the_same_in_any_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    (whole,) = drawn_counts(7, seed=5)
    assert whole.shape == (RESAMPLES, 7)
    assert (whole.sum(axis=1) == 7).all()
    assert whole.mean() == 1
    monkeypatch.setattr(bootstrap, "_DRAWN_AT_ONCE", 70)  # 10 resamples at a time
    parts = list(drawn_counts(7, seed=5))
    assert {len(part) for part in parts} == {10}
    assert (np.concatenate(parts) == whole).all()
    assert (next(drawn_counts(7, seed=6)) != whole[:10]).any()


def test_two_prompts_can_be_drawn_and_one_cannot() -> None:
    assert list(drawn_counts(1, seed=0)) == []
    (both,) = drawn_counts(2, seed=0)
    assert both.shape == (RESAMPLES, 2) and set(both[:, 0].tolist()) == {0, 1, 2}


def test_undefined_resamples_do_not_count() -> None:
    drawn = np.arange(101.0)
    found = percentile_interval(50.0, np.append(drawn, [np.nan] * 50))
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((50, 2.5, 97.5))
    assert percentile_interval(1.0, np.array([np.nan])) is None
    assert percentile_interval(float("nan"), drawn) is None
