"""p-values of several tests at once."""

from collections.abc import Sequence

import polars as pl


def adjusted(p_values: pl.Series) -> pl.Series:
    """The column ``adjusted``: :func:`holm` of a column of p-values."""
    return pl.Series("adjusted", holm(p_values.to_list()), dtype=pl.Float64)


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Adjusted for as many tests as there are p-values (Holm 1979), in their order; None stays None.

    A test whose adjusted p is at most alpha is rejected while all false rejections together have a chance of alpha.
    """
    known = sorted((p, place) for place, p in enumerate(p_values) if p is not None)
    found: list[float | None] = [None] * len(p_values)
    highest = 0.0
    for rank, (p, place) in enumerate(known):
        highest = max(highest, min(1.0, p * (len(known) - rank)))
        found[place] = highest
    return found
