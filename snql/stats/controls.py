"""A patched set against its random controls, paired over prompts."""

from dataclasses import dataclass

import numpy as np

from snql.stats.effects import Array, effect_interval, mean_interval
from snql.stats.interval import Interval

PERMUTATIONS = 10_000
_CHUNK = 1_000


@dataclass(frozen=True)
class ControlEffect:
    """How a set's scores differ from the mean of its controls' on the same prompts.

    difference: mean over prompts, in the judge's units; one prompt has no interval. t, t_p_value: paired t-test, None
    where all differences are the same. permutation_p_value: share of random sign flips of the differences whose mean is
    at least as far from 0, the observed one among them; two-sided. effect: difference divided by the donor-recipient
    gap, None where that may be 0.
    Prompts are the sample: none of it says how other random sets would have done.
    """

    n_prompts: int
    n_controls: int
    mean_controls: float
    difference: float
    difference_interval: Interval | None
    t: float | None
    t_p_value: float | None
    permutation_p_value: float
    permutations: int
    effect: Interval | None


def against_controls(patched: Array, controls: Array, gap: Array | None, seed: int) -> ControlEffect:
    """Compare scores of a set, shape (prompts,), with those of its controls, shape (controls, prompts).

    seed: of the sign flips. gap: donor's minus recipient's scores, shape (prompts,); None without a donor.
    """
    # Differences first: where a set and its controls do the same, they are exactly 0.
    differences = (patched - controls).mean(axis=0)
    t, p = (None, None)
    if len(differences) > 1 and float(np.ptp(differences)) > 1e-12 * float(np.abs(differences).max()):
        from scipy import stats  # slow to import: lists and pages do without

        tested = stats.ttest_1samp(differences, 0.0)
        t, p = float(tested.statistic), float(tested.pvalue)
    return ControlEffect(
        n_prompts=len(patched),
        n_controls=len(controls),
        mean_controls=float(controls.mean()),
        difference=float(differences.mean()),
        difference_interval=mean_interval(differences, gap),
        t=t,
        t_p_value=p,
        permutation_p_value=sign_flip_p_value(differences, seed),
        permutations=PERMUTATIONS,
        effect=None if gap is None else effect_interval(differences, gap),
    )


def sign_flip_p_value(differences: Array, seed: int, permutations: int = PERMUTATIONS) -> float:
    """Two-sided p-value of a mean of 0 under random sign flips (Phipson and Smyth 2010: never 0)."""
    observed = abs(float(differences.sum()))
    generator = np.random.default_rng([seed, 1])
    reaching = 0
    for start in range(0, permutations, _CHUNK):
        n_flips = min(_CHUNK, permutations - start)
        signs = generator.integers(0, 2, (n_flips, len(differences)), dtype=np.int8) * 2.0 - 1.0
        # Sums of the same numbers in another order may differ in the last digit.
        reaching += int((np.abs(signs @ differences) >= observed * (1 - 1e-12)).sum())
    return (1 + reaching) / (1 + permutations)
