"""How much more one score changes than another: a ratio of sizes, of the same prompts or of others."""

from dataclasses import dataclass

import numpy as np

from snql.stats.effects import Array, fieller, large, mean_interval, quantile, with_large
from snql.stats.interval import Interval


@dataclass(frozen=True)
class Changes:
    """Changes of a score by prompt and the gaps that they are parts of, each of shape (prompts,)."""

    values: Array
    gaps: Array


def size_ratio(over: Changes, under: Changes, *, paired: bool) -> Interval | None:
    """|mean(over)| / |mean(under)| with Fieller's interval; None when the interval of either mean covers 0.

    paired: of the same prompts in the same order, so that what moves both counts once. Where a mean may be 0, its size
    has an interval that never reaches it.
    """
    means = [mean_interval(side.values, side.gaps) for side in (over, under)]
    if any(mean is None or mean.covers(0) for mean in means):
        return None
    sides = [np.copysign(1.0, side.values.mean()) * side.values for side in (over, under)]
    scales = [large(side.gaps) for side in (over, under)]
    variances = [with_large(side, scale)[1] for side, scale in zip(sides, scales, strict=True)]
    together = float(np.cov(*sides)[0, 1]) / len(sides[0]) if paired else 0.0
    above, below = (float(side.mean()) for side in sides)
    bounds = fieller(above, below, (variances[0], together, variances[1]), quantile(min(map(len, sides))))
    return None if bounds is None else Interval(above / below, *bounds)
