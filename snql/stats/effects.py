"""Causal effects with paired bootstrap intervals over prompts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """An estimate with the bounds of its percentile bootstrap interval."""

    value: float
    low: float
    high: float

    def covers(self, value: float) -> bool:
        return self.low <= value <= self.high


@dataclass(frozen=True)
class Effect:
    """The effect of one patched neuron set on one judge's scores of one data set.

    gap: mean(donor) - mean(recipient). change: mean(patched) - mean(recipient). effect: change / gap, the causal
    effect of DESIGN section 1; None (undefined) when the gap's interval covers 0, or with one prompt, which has none.
    Without a donor, mean_donor, gap and effect are None.
    """

    n_prompts: int
    mean_recipient: float
    mean_donor: float | None
    mean_patched: float
    gap: Interval | None
    change: Interval
    effect: Interval | None
    confidence: float
    resamples: int
    seed: int


@dataclass(frozen=True)
class Bootstrap:
    """Resamples of prompts, the same for every variant, so that comparisons are paired.

    counts: how often each resample draws each prompt, shape (resamples, prompts).
    """

    counts: npt.NDArray[np.float64]
    confidence: float
    seed: int

    @classmethod
    def draw(cls, n_prompts: int, resamples: int = 2000, confidence: float = 0.95, seed: int = 0) -> "Bootstrap":
        generator = np.random.default_rng(seed)
        shares = np.full(n_prompts, 1 / n_prompts)
        counts = generator.multinomial(n_prompts, shares, size=resamples)
        return cls(counts.astype(np.float64), confidence, seed)

    def means(self, values: Array) -> Array:
        """Mean of each resample, shape (resamples,)."""
        means: Array = self.counts @ values / values.size
        return means

    def mean_interval(self, values: Array) -> Interval:
        """The mean of values of shape (prompts,), with its interval."""
        return self.interval(float(np.mean(values)), self.means(values))

    def interval(self, value: float, resampled: Array) -> Interval:
        """Percentile interval of resampled estimates around the estimate ``value``."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return Interval(float(value), float(low), float(high))


def causal_effect(recipient: Array, donor: Array | None, patched: Array, bootstrap: Bootstrap) -> Effect:
    """The effect of a patched set, from scores of the same prompts in the same order, each of shape (prompts,)."""
    changes = patched - recipient
    gaps = None if donor is None else donor - recipient
    return Effect(
        n_prompts=len(recipient),
        mean_recipient=float(np.mean(recipient)),
        mean_donor=None if donor is None else float(np.mean(donor)),
        mean_patched=float(np.mean(patched)),
        gap=None if gaps is None else bootstrap.mean_interval(gaps),
        change=bootstrap.mean_interval(changes),
        effect=None if gaps is None else ratio_interval(changes, gaps, bootstrap),
        confidence=bootstrap.confidence,
        resamples=len(bootstrap.counts),
        seed=bootstrap.seed,
    )


def ratio_interval(changes: Array, gaps: Array, bootstrap: Bootstrap) -> Interval | None:
    """mean(changes) / mean(gaps) with its interval; None when the gap's interval covers 0, or with one prompt.

    changes, gaps: differences of scores of the same prompts, shape (prompts,).
    """
    gap = bootstrap.mean_interval(gaps)
    if len(gaps) < 2 or gap.covers(0):
        return None
    # A resample can still have no gap; its ratio is infinite or undefined and must not be averaged away.
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = np.nan_to_num(bootstrap.means(changes) / bootstrap.means(gaps), nan=0.0)
    return bootstrap.interval(float(np.mean(changes)) / gap.value, ratios)
