"""Checksums of rows that do not depend on their order, so that a table of any size can be checked as it streams by.

They guard against loss, damage and mix-ups, not against forgery.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import polars as pl

Words = npt.NDArray[np.uint64]


def row_digest(columns: Iterable[Words]) -> int:
    """Sum over rows, modulo 2**64, of a hash of each row; no rows give 0. All columns have the same length."""
    hashed: Words = np.zeros(1, dtype=np.uint64)
    for column in columns:
        hashed = _mixed(hashed + column)
    return int(hashed.sum(dtype=np.uint64))


def sum_of(digests: Iterable[int]) -> int:
    """The digest of all rows, from those of parts."""
    return sum(digests) % 2**64


def frame_digest(frame: pl.DataFrame) -> int:
    """The digest of a frame of numbers, by its columns in their order."""
    return row_digest(_words(series) for series in frame.get_columns()) if len(frame) else 0


def _words(series: pl.Series) -> Words:
    """A column's values as 64 bits each: integers with -1 for null, floats as float64 with NaN for null."""
    if series.dtype.is_float():
        return series.cast(pl.Float64).fill_null(float("nan")).to_numpy().view(np.uint64)
    return series.cast(pl.Int64).fill_null(-1).to_numpy().view(np.uint64)


def _mixed(values: Words) -> Words:
    """Spread every bit of a 64-bit number over all others: SplitMix64's finalizer (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))
