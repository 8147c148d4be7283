"""Statistics that pool the tokens of many texts, with bootstrap intervals over the texts.

A mean over tokens is a ratio of sums over texts, so a resample that draws texts needs the sums of each text alone.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from snql.stats.effects import Array, Interval

RESAMPLES = 2000
CONFIDENCE = 0.95
_DRAWN_AT_ONCE = 4_000_000


@dataclass(frozen=True)
class Sums:
    """Sums over resampled texts: Float64["resamples columns"]; ``of`` the sums over the texts themselves, "columns"."""

    of: Array
    resampled: Array | None

    def interval(self, value: float, resampled: Array) -> Interval | None:
        """Percentile interval around ``value``; None with one text, which cannot be resampled."""
        if self.resampled is None:
            return None
        tail = (1 - CONFIDENCE) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return Interval(float(value), float(low), float(high))

    def ratio(self, over: int, under: int) -> tuple[float, Interval | None]:
        """The ratio of two columns' sums, and its interval."""
        value = float(self.of[over] / self.of[under])
        if self.resampled is None:
            return value, None
        return value, self.interval(value, self.resampled[:, over] / self.resampled[:, under])


def resampled_sums(values: Array, seed: int, resamples: int = RESAMPLES) -> Sums:
    """Sums of per-text values, Float64["texts columns"], over resamples of the texts: the same draws for all columns.

    Memory does not grow with the number of texts.
    """
    if len(values) < 2:
        return Sums(values.sum(axis=0), None)
    parts = [counts @ values for counts in drawn_counts(len(values), seed, resamples)]
    return Sums(values.sum(axis=0), np.concatenate(parts))


def drawn_counts(n_texts: int, seed: int, resamples: int) -> Iterator[Array]:
    """How often each text is drawn, some resamples at a time; the draws are those of ``effects.Bootstrap``."""
    generator = np.random.default_rng(seed)
    shares = np.full(n_texts, 1 / n_texts)
    at_once = max(1, _DRAWN_AT_ONCE // n_texts)
    for start in range(0, resamples, at_once):
        size = min(at_once, resamples - start)
        yield generator.multinomial(n_texts, shares, size=size).astype(np.float64)
