"""Holm's procedure, by hand."""

import pytest

from snql.stats.holm import holm


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ([0.01, 0.04, 0.03], [0.03, 0.06, 0.06]),
        ([0.5, 0.5], [1.0, 1.0]),
        ([0.02, None, 0.01], [0.02, None, 0.02]),
        ([0.2], [0.2]),
        ([], []),
        ([None], [None]),
    ],
)
def test_adjusted_by_hand(given: list[float | None], expected: list[float | None]) -> None:
    assert holm(given) == pytest.approx(expected)
