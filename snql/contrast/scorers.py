"""Scores from the statistics of a contrast: two models over the same tokens."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from snql.errors import InputError

Array = npt.NDArray[np.float64]

CHANGE_SCORE = "change-score"
CONTRAST = (CHANGE_SCORE, "mean-difference", "cohens-d", "activation-variance")
"""Scorers that need nothing but what every locate run stores."""
ONE_MODEL = ("prompt-difference", "wanda", "safety-specific")
"""Scorers of one model: :mod:`snql.scorers.one_model`."""


def check_contrast_scorer(scorer: str) -> None:
    """Raise InputError unless the scorer is one of a contrast."""
    if scorer in ONE_MODEL:
        raise InputError(f"scorer {scorer} ranks the neurons of one model: give --model, not --before and --after")
    if scorer not in CONTRAST:
        raise InputError(f"--scorer {scorer!r} is not known: use {', '.join((*CONTRAST, *ONE_MODEL))}")


def contrast_scores(scorer: str, change_scores: Array, columns: Mapping[str, Array]) -> Array:
    """The scores of all neurons; all arrays have one shape. NaN where a score is undefined.

    columns: ``mean_difference`` (after - before), ``std_before`` and ``std_after`` (n-1), over the scored tokens.

    - ``change-score``: root mean square of after - before (arXiv 2406.14144, eq. 3);
    - ``mean-difference``: \\|mean_difference\\|;
    - ``cohens-d``: \\|mean_difference\\| / sqrt((std_before^2 + std_after^2) / 2); 0 where both numerator and
      denominator are 0, NaN where only the denominator is, or where a standard deviation is (arXiv 2602.12158 ranks by
      Cohen's d);
    - ``activation-variance``: std_after^2, of the model after: how much a neuron varies, whatever the one before does.
    """
    if scorer == CHANGE_SCORE:
        return change_scores
    difference = np.abs(columns["mean_difference"])
    if scorer == "mean-difference":
        return difference
    if scorer == "activation-variance":
        variance: Array = np.square(columns["std_after"])
        return variance
    pooled = np.sqrt((np.square(columns["std_before"]) + np.square(columns["std_after"])) / 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        sizes = np.where(pooled > 0, difference / pooled, np.where((pooled == 0) & (difference == 0), 0.0, np.nan))
    return sizes
