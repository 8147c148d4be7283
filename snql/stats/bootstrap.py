"""Bootstrap over prompts, for what no formula gives an interval: how often each is drawn, and percentile intervals."""

from collections.abc import Iterator

import numpy as np

from snql.stats.effects import Array
from snql.stats.interval import CONFIDENCE, Interval

RESAMPLES = 2000
_DRAWN_AT_ONCE = 4_000_000


def drawn_counts(n_prompts: int, seed: int) -> Iterator[Array]:
    """How often each prompt is drawn, Float64["resamples prompts"] of some resamples at a time; none for one prompt.

    Memory does not grow with the number of prompts.
    """
    if n_prompts < 2:
        return
    generator = np.random.default_rng(seed)
    shares = np.full(n_prompts, 1 / n_prompts)
    at_once = max(1, _DRAWN_AT_ONCE // n_prompts)
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        yield generator.multinomial(n_prompts, shares, size=size).astype(np.float64)


def percentile_interval(value: float, resampled: Array) -> Interval | None:
    """Over the resamples in which the value is defined (no NaN); None if it is in none, or undefined itself."""
    defined = resampled[~np.isnan(resampled)]
    if not len(defined) or np.isnan(value):
        return None
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(defined, [tail, 1 - tail])
    return Interval(float(value), float(low), float(high))
