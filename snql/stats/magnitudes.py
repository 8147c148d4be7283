"""How much more one score changes than another: a ratio of sizes, of the same prompts or of others."""

import numpy as np

from snql.stats.effects import Array, Bootstrap, Interval


def size_ratio(over: Array, under: Array, *, paired: bool, seed: int) -> Interval | None:
    """|mean(over)| / |mean(under)| with its bootstrap interval; None when the interval of either mean covers 0.

    over, under: changes of scores by prompt, of shape (prompts,); paired: of the same prompts in the same order, so
    that a resample draws them together. Where a mean may be 0, its size has an interval that never reaches it.
    """
    draws = Bootstrap.draw(len(over), seed=seed)
    alone = draws if paired else Bootstrap.draw(len(under), seed=seed)
    few = min(len(over), len(under)) < 2
    if few or draws.mean_interval(over).covers(0) or alone.mean_interval(under).covers(0):
        return None
    # Two data sets of one size must not be drawn alike.
    others = draws if paired else Bootstrap.draw(len(under), seed=seed + 1)
    with np.errstate(divide="ignore"):
        ratios = np.abs(draws.means(over)) / np.abs(others.means(under))
    return draws.interval(float(abs(np.mean(over)) / abs(np.mean(under))), np.nan_to_num(ratios))
