"""``bootstrap`` of a locate run: intervals of change scores over prompts, and how often a neuron is at the top."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.prompt_sums import PromptSumsReader
from snql.neurons.sets import Ids, Shape
from snql.stats.resampling import bootstrap_weights, scores_of, top_of
from snql.stats.scores import score_intervals

TOP = 0.05
_BYTES = 512_000_000
"""Scores of all neurons that are held at once."""


def bootstrap_intervals(
    reader: PromptSumsReader, shape: Shape, ranks: npt.NDArray[np.int64], resamples: int, seed: int
) -> pl.DataFrame:
    """One row per neuron that two prompts reach: layer, expert, neuron, ci_low, ci_high, standard_error, top_share.

    ranks: of all neurons by flat id, 0 for those that are not ranked.
    """
    weights = bootstrap_weights(reader.n_prompts, resamples, seed)
    low, high, errors = (np.full(shape.size, np.nan) for _ in range(3))
    for chunk in reader.chunks():
        reached = chunk.counts.any(axis=0)
        if reached.any():
            found = score_intervals(chunk.squared[:, reached], chunk.counts[:, reached])
            ids = chunk.ids[reached]
            low[ids], high[ids], errors[ids] = found.low, found.high, found.standard_error
    ranked = np.flatnonzero(ranks)
    shares = np.full(shape.size, np.nan)
    shares[ranked] = _top_shares(reader, ranked, shape.size, weights)
    return _frame(shape, low, high, errors, shares)


def _top_shares(
    reader: PromptSumsReader, ranked: Ids, size: int, weights: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """In what share of the resamples each ranked neuron is among the top TOP of them."""
    k = max(1, round(TOP * len(ranked)))
    counts = np.zeros(len(ranked), dtype=np.int64)
    for scores in _blocks(reader, size, weights):
        for row in scores[:, ranked]:
            counts[top_of(row, k)] += 1
    shares: npt.NDArray[np.float64] = counts / len(weights)
    return shares


def _blocks(reader: PromptSumsReader, size: int, weights: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float32]]:
    """The scores of all neurons for some resamples at a time: Float32["resamples neurons"]."""
    step = max(1, _BYTES // (4 * size))
    for start in range(0, len(weights), step):
        block = weights[start : start + step]
        scores = np.full((len(block), size), np.nan, dtype=np.float32)
        for chunk in reader.chunks():
            scores[:, chunk.ids] = scores_of(block, chunk.squared, chunk.counts)
        yield scores


def _frame(
    shape: Shape,
    low: npt.NDArray[np.float64],
    high: npt.NDArray[np.float64],
    errors: npt.NDArray[np.float64],
    shares: npt.NDArray[np.float64],
) -> pl.DataFrame:
    ids = np.arange(shape.size, dtype=np.int64)
    columns = ids % shape.n_neurons
    experts = pl.Series((columns // shape.per_expert).astype(np.int16))
    frame = pl.DataFrame(
        {
            "layer": (ids // shape.n_neurons).astype(np.int16),
            "expert": experts if shape.routed else pl.Series([None] * shape.size, dtype=pl.Int16),
            "neuron": (columns % shape.per_expert).astype(np.int32),
            "ci_low": low,
            "ci_high": high,
            "standard_error": errors,
            "top_share": shares,
        }
    )
    return frame.fill_nan(None).drop_nulls(["ci_low", "standard_error"])
