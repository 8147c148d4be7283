"""Intervals of change scores over prompts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snql.stats.effects import Array
from snql.stats.interval import CONFIDENCE


@dataclass(frozen=True)
class Intervals:
    """Intervals and standard errors of change scores, each of shape (neurons,)."""

    low: Array
    high: Array
    standard_error: Array


def score_intervals(squared: Array, counts: Array) -> Intervals:
    """Of the change scores of prompts with these sums and tokens, "prompts neurons"; NaN where one prompt has tokens.

    Before the root, a score is a ratio of sums over prompts: Student's t with its linear variance (Cochran 1977, eq.
    6.13) gives the lower end. Squares are skew, and what may make a score larger is seldom in the sample: for the upper
    end a prompt is added that has a large sum (sqrt(sum x^4 / sum x^2) of the others) and a mean number of tokens.
    """
    from scipy import special  # slow to import: lists and pages do without

    n = (counts > 0).sum(axis=0)
    t = special.stdtrit(np.maximum(n - 1, 1), (1 + CONFIDENCE) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        mean, error = _ratio(squared, counts, n)
        large = np.sqrt((squared**4).sum(axis=0) / np.square(squared).sum(axis=0))
        upper, above = _ratio(
            np.vstack([squared, np.nan_to_num(large)]), np.vstack([counts, counts.sum(axis=0) / n]), n + 1
        )
        ends = np.maximum(mean - t * error, 0.0), np.maximum(upper + t * above, mean)
        low, high, deviation = (
            np.where(n > 1, value, np.nan) for value in (*map(np.sqrt, ends), _of_root(mean, error))
        )
    return Intervals(low, high, deviation)


def _ratio(over: Array, under: Array, n: npt.NDArray[np.int64]) -> tuple[Array, Array]:
    """Ratios of column sums over n prompts, and their standard errors."""
    total = under.sum(axis=0)
    ratio = over.sum(axis=0) / total
    return ratio, np.sqrt(np.square(over - ratio * under).sum(axis=0) * n / (n - 1)) / total


def _of_root(mean: Array, error: Array) -> Array:
    """The standard error of a root; 0 where there is nothing."""
    found: Array = np.where(mean > 0, error / (2 * np.sqrt(mean)), 0.0)
    return found
