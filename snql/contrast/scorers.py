"""Scores from the statistics of a contrast: two models over the same tokens."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt

from snql.errors import InputError
from snql.stats.sizes import root_mean_square

Array = npt.NDArray[np.float64]

Scorer = Callable[[Array, Mapping[str, Array]], Array]
"""The scores of all neurons, NaN where undefined, from their change scores and from the columns ``mean_difference``
(after - before), ``mean_before``, ``std_before`` and ``std_after`` (n-1) and ``n_tokens``, over the scored tokens; all
are Float[Array, "layers neurons"]."""


def change_score(change_scores: Array, _: Mapping[str, Array]) -> Array:
    """Root mean square of after - before (arXiv 2406.14144, eq. 3)."""
    return change_scores


def mean_difference(_: Array, columns: Mapping[str, Array]) -> Array:
    """\\|mean_difference\\|."""
    return np.abs(columns["mean_difference"])


def cohens_d(_: Array, columns: Mapping[str, Array]) -> Array:
    """\\|mean_difference\\| / sqrt((std_before^2 + std_after^2) / 2) (arXiv 2602.12158 ranks by Cohen's d).

    0 where both numerator and denominator are 0; NaN where only the denominator is, or where a standard deviation is.
    """
    difference = np.abs(columns["mean_difference"])
    return _ratio(difference, np.sqrt((np.square(columns["std_before"]) + np.square(columns["std_after"])) / 2))


def standardised_change(change_scores: Array, columns: Mapping[str, Array]) -> Array:
    """Change score / std_before: in units of what the neuron varies by itself, whatever its size and layer.

    0 where both are 0; NaN where only std_before is, or where that is undefined.
    """
    return _ratio(change_scores, columns["std_before"])


def layer_relative(change_scores: Array, _: Mapping[str, Array]) -> Array:
    """Change score / median change score of the neuron's layer, so that each layer has half of its scores above 1.

    Activations grow with depth in many models, and change scores with them. 0 where both are 0; NaN where only the
    median is.
    """
    return _ratio(change_scores, np.nanmedian(change_scores, axis=-1, keepdims=True))


def _ratio(value: Array, unit: Array) -> Array:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(unit > 0, value / unit, np.where((unit == 0) & (value == 0), 0.0, np.nan))


def activation_variance(_: Array, columns: Mapping[str, Array]) -> Array:
    """std_after^2, of the model after: how much a neuron varies, whatever the one before does."""
    return np.square(columns["std_after"])


def activation_size(_: Array, columns: Mapping[str, Array]) -> Array:
    """Root mean square of the model before: how large a neuron is, whatever alignment does to it."""
    return root_mean_square(columns["mean_before"], columns["std_before"], columns["n_tokens"])


CHANGE_SCORE = "change-score"
CONTRAST: dict[str, Scorer] = {
    CHANGE_SCORE: change_score,
    "standardised-change": standardised_change,
    "layer-relative": layer_relative,
    "mean-difference": mean_difference,
    "cohens-d": cohens_d,
    "activation-variance": activation_variance,
    "activation-size": activation_size,
}
"""Scorers that need nothing but what every locate run stores."""
ONE_MODEL = ("prompt-difference", "wanda", "safety-specific")
"""Scorers of one model: :mod:`snql.scorers.one_model`."""


def check_contrast_scorer(scorer: str) -> None:
    """Raise InputError unless the scorer is one of a contrast."""
    if scorer in ONE_MODEL:
        raise InputError(f"scorer {scorer} ranks the neurons of one model: give `model`, not `before` and `after`")
    if scorer not in CONTRAST:
        raise InputError(f"`scorer` {scorer!r} is not known: use {', '.join((*CONTRAST, *ONE_MODEL))}")


def contrast_scores(scorer: str, change_scores: Array, columns: Mapping[str, Array]) -> Array:
    """The scores of all neurons by one of :data:`CONTRAST`; see :data:`Scorer`."""
    return CONTRAST[scorer](change_scores, columns)
