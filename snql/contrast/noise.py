"""When a ranking is noise: two models that differ by rounding only, or neurons whose scores are all the same.

The same model read twice, in other batches or with a cache, differs by rounding. Of each neuron that difference is
compared with the size of its activations and of its layer's, for errors of both are in what it computes:

    r_n = score_n / sqrt(rms_n^2 + rms_layer^2),

with the change score as score_n (the root mean square of after - before), rms_n the larger of both models' root mean
squares, and rms_layer that of all neurons of the layer. The models differ by rounding only where no r_n is above

    16 u(type) + 1024 u(float32),

u(type) the unit roundoff of the number type (the coarser, if there are two) and float32 that in which sums are taken.
Measured: a model against itself has at most 50 u in float32 and 6 u in half precision, pairs that were trained apart
90 u in bfloat16 and more (docs/method.md).
"""

from collections.abc import Iterable

import numpy as np
import polars as pl
import torch

from snql.contrast.scorers import Array

NOISE = "the ranking is noise"
PERHAPS = "the ranking may be noise"
_OF_TYPE, _OF_SUMS = 16, 1024


def said_of(notes: Iterable[str]) -> str | None:
    """What notes of a run say of its ranking being noise, if they do."""
    return next((note for note in notes if note.endswith((NOISE, PERHAPS))), None)


def rounding_bound(dtypes: Iterable[str]) -> float:
    """Relative differences up to this are rounding; dtypes: such as ``float32``."""
    coarsest = max(torch.finfo(getattr(torch, dtype)).eps / 2 for dtype in dtypes)
    return _OF_TYPE * coarsest + _OF_SUMS * torch.finfo(torch.float32).eps / 2


def relative_differences(scores: Array, mean_squares: Array) -> Array:
    """r_n of every neuron: Float64["layers neurons"], NaN without tokens; 0 where nothing is there and nothing differs.

    scores: root mean square differences; mean_squares: of the activations.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        counted = np.isfinite(mean_squares)
        layer = np.where(counted, mean_squares, 0).sum(axis=1) / np.maximum(counted.sum(axis=1), 1)
        found: Array = scores / np.sqrt(mean_squares + layer[:, None])
    return np.where(scores == 0, 0.0, found)


def rounding_note(differences: Array, dtypes: Iterable[str], what: str) -> str | None:
    """What is to be said where the largest relative difference is at the level of rounding; None if it is not.

    what: names both sides, such as ``before and after``.
    """
    largest = float(np.nanmax(differences)) if np.isfinite(differences).any() else np.inf
    if largest == 0:
        return f"{what} are equal to the last bit: {NOISE}"
    if largest > rounding_bound(dtypes):
        return None
    size = f"at most {largest:.1g} of a neuron's activations"
    return f"{what} differ by no more than rounding can make ({size}): {PERHAPS}"


def equal_scores_note(statistics: pl.DataFrame) -> str | None:
    """What is to be said where all ranked neurons have the same score; None if they do not.

    statistics: a row a neuron, with score and rank, as :func:`snql.db.scores.statistics_frame` makes them.
    """
    ranked = statistics.filter(pl.col("rank").is_not_null())["score"]
    if len(ranked) < 2 or ranked.n_unique() > 1:
        return None
    return f"all ranked neurons have the same score, {ranked[0]:g}, and are in the order of their numbers: {NOISE}"
