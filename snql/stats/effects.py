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
    """

    n_prompts: int
    mean_recipient: float
    mean_donor: float
    mean_patched: float
    gap: Interval
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

    def interval(self, value: float, resampled: Array) -> Interval:
        """Percentile interval of resampled estimates around the estimate ``value``."""
        tail = (1 - self.confidence) / 2
        low, high = np.quantile(resampled, [tail, 1 - tail])
        return Interval(float(value), float(low), float(high))


def causal_effect(recipient: Array, donor: Array, patched: Array, bootstrap: Bootstrap) -> Effect:
    """The effect of a patched set, from scores of the same prompts in the same order, each of shape (prompts,)."""
    gap_samples = bootstrap.means(donor - recipient)
    change_samples = bootstrap.means(patched - recipient)
    gap = bootstrap.interval(float(np.mean(donor - recipient)), gap_samples)
    change = bootstrap.interval(float(np.mean(patched - recipient)), change_samples)
    effect = None
    if len(recipient) > 1 and not gap.covers(0):
        # A resample can still have no gap; its ratio is infinite or undefined and must not be averaged away.
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = np.nan_to_num(change_samples / gap_samples, nan=0.0)
        effect = bootstrap.interval(change.value / gap.value, ratios)
    return Effect(
        n_prompts=len(recipient),
        mean_recipient=float(np.mean(recipient)),
        mean_donor=float(np.mean(donor)),
        mean_patched=float(np.mean(patched)),
        gap=gap,
        change=change,
        effect=effect,
        confidence=bootstrap.confidence,
        resamples=len(bootstrap.counts),
        seed=bootstrap.seed,
    )
