"""How sure rankings by change scores are: the bootstrap over prompts, and rankings from two halves of the prompts.

A change score pools the tokens of all prompts: sqrt(sum of squared differences / number of tokens), so the score of any
choice of prompts, each taken w times, is sqrt(sum of w * squares / sum of w * tokens) (arXiv 2406.14144, equation 3).
"""

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


FEWEST, MOST = 100, 10_000
"""Resamples: with fewer the ends of an interval are single draws; more tell next to nothing more."""


def bootstrap_weights(n_prompts: int, resamples: int, seed: int) -> Array:
    """How often each prompt is drawn in each resample: Float64["resamples prompts"], rows sum to n_prompts."""
    generator = np.random.default_rng([seed, n_prompts])
    drawn = generator.multinomial(n_prompts, np.full(n_prompts, 1 / n_prompts), size=resamples)
    weights: Array = drawn.astype(np.float64)
    return weights


def half_weights(n_prompts: int, splits: int, seed: int) -> Array:
    """Random halves: 1 for the prompts of the first half of each split, Float64["splits prompts"]."""
    generator = np.random.default_rng([seed, n_prompts, splits])
    weights = np.zeros((splits, n_prompts))
    for row in weights:
        row[generator.permutation(n_prompts)[: n_prompts // 2]] = 1
    return weights


def scores_of(weights: Array, squared: Array, counts: Array) -> Array:
    """Change scores of choices of prompts: Float64["choices neurons"]; NaN where no token reached a neuron.

    weights: "choices prompts"; squared: "prompts neurons"; counts: tokens, of the same shape.
    """
    # Outside mixtures of experts all neurons have the tokens of their prompt: one product is enough.
    tokens = weights @ (counts[:, :1] if (counts == counts[:, :1]).all() else counts)
    with np.errstate(divide="ignore", invalid="ignore"):
        scores: Array = np.sqrt(weights @ squared / tokens)
    return scores


def top_of(scores: Array, k: int) -> npt.NDArray[np.int64]:
    """Places of the k highest scores; of equal ones the first, as in a run's ranking. NaN is below all."""
    filled = np.nan_to_num(scores, nan=-1.0)
    threshold = np.partition(filled, len(filled) - k)[len(filled) - k]
    above = np.flatnonzero(filled > threshold)
    level = np.flatnonzero(filled == threshold)[: k - len(above)]
    return np.concatenate([above, level])


def spearman_brown(correlation: float) -> float:
    """Reliability of the whole from the correlation of its halves (Spearman 1910, Brown 1910)."""
    return 2 * correlation / (1 + correlation) if correlation > -1 else float("nan")
