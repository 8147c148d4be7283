"""Causal effects with intervals over prompts, paired: differences of scores of the same prompts.

Scores of judges are often all-or-nothing: most changes are 0 or the whole of what separates two models. Where few
prompts differ from the others, resampling them, or their variance alone, sees too little: of 50 prompts of which 2% are
expected to change, 36% of samples have no change at all, and an interval of no width. So two further prompts are added
before the variance is taken, as Agresti and Coull (1998) do for a share. How large a change they have is what the data
say of changes that are large (:func:`large`), so that they weigh little among scores that change by degrees.
benchmarks/coverage.py tells how often these intervals and others cover.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from snql.stats.interval import CONFIDENCE, Interval

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Effect:
    """The effect of one patched neuron set on one judge's scores of one data set.

    gap: mean(donor) - mean(recipient). change: mean(patched) - mean(recipient). Their intervals are None with one
    prompt. effect: change / gap, the causal effect of DESIGN section 1; None (undefined) when the gap's interval covers
    0, as it always does with fewer than six prompts. Without a donor, mean_donor, gap and effect are None.
    """

    n_prompts: int
    mean_recipient: float
    mean_donor: float | None
    mean_patched: float
    gap: float | None
    gap_interval: Interval | None
    change: float
    change_interval: Interval | None
    effect: Interval | None


def causal_effect(recipient: Array, donor: Array | None, patched: Array) -> Effect:
    """The effect of a patched set, from scores of the same prompts in the same order, each of shape (prompts,)."""
    changes = patched - recipient
    gaps = None if donor is None else donor - recipient
    return Effect(
        n_prompts=len(recipient),
        mean_recipient=float(np.mean(recipient)),
        mean_donor=None if donor is None else float(np.mean(donor)),
        mean_patched=float(np.mean(patched)),
        gap=None if gaps is None else float(np.mean(gaps)),
        gap_interval=None if gaps is None else mean_interval(gaps),
        change=float(np.mean(changes)),
        change_interval=mean_interval(changes, gaps),
        effect=None if gaps is None else effect_interval(changes, gaps),
    )


def large(values: Array) -> float:
    """How large a large change is: sqrt(sum v^4 / sum v^2), the root mean square weighted by squares.

    All-or-nothing changes of size s give s, however few there are; normal ones about sqrt(3) standard deviations.
    """
    squares = np.square(values)
    total = float(squares.sum())
    return float(np.sqrt((squares * squares).sum() / total)) if total > 0 else 0.0


def mean_interval(values: Array, scale_of: Array | None = None) -> Interval | None:
    """The mean of values of shape (prompts,), with its interval; None with one.

    Student's t over them and two further prompts, one that changes by a large change and one by its opposite (Agresti
    and Min 2005 add as much to a table of pairs). scale_of: what says how large that is, such as the differences of
    donor and recipient; else the values themselves.
    """
    n = len(values)
    if n < 2:
        return None
    centre, variance = with_large(values, large(values if scale_of is None else scale_of))
    half = quantile(n) * variance**0.5
    return _around(float(values.mean()), centre - half, centre + half)


def with_large(values: Array, size: float) -> tuple[float, float]:
    """The mean of values and of two more, of that size and of its opposite, and the variance of that mean."""
    more = np.append(values, [size, -size])
    return float(more.mean()), float(more.var(ddof=1)) / len(more)


def effect_interval(changes: Array, gaps: Array) -> Interval | None:
    """:func:`share_interval`; None when the gap's interval covers 0, so that there may be nothing to share."""
    gap = mean_interval(gaps)
    return None if gap is None or gap.covers(0) else share_interval(changes, gaps)


def share_interval(changes: Array, gaps: Array) -> Interval | None:
    """mean(changes) / mean(gaps) with its interval; None with one prompt, no gap at all, or no bounds.

    changes, gaps: differences of scores of the same prompts, shape (prompts,). Fieller's interval (1954): the ratios r
    at which the mean of changes - r gaps may be 0, of these and two further prompts that both have a large gap, of
    which one changes by all of it and one not at all.
    """
    gap = float(gaps.mean())
    if len(gaps) < 2 or gap == 0:
        return None
    whole = float(np.copysign(large(gaps), gap))
    more = np.append(changes, [whole, 0.0]), np.append(gaps, [whole, whole])
    bounds = _fieller(*more, quantile(len(gaps)))
    return None if bounds is None else _around(float(changes.mean()) / gap, *bounds)


def ratio_interval(over: Array, under: Array) -> Interval | None:
    """sum(over) / sum(under) with Fieller's interval over what they are sums of, such as the tokens of each text.

    None with one, or where the sum of ``under`` may be 0.
    """
    if len(over) < 2:
        return None
    bounds = _fieller(over, under, quantile(len(over)))
    return None if bounds is None else _around(float(over.sum() / under.sum()), *bounds)


def fieller(over: float, under: float, variances: tuple[float, float, float], t: float) -> tuple[float, float] | None:
    """Bounds of over / under, two means; None where they are infinite.

    variances: of over, of both together (their covariance), and of under.
    """
    above, both, below = (t * t * value for value in variances)
    square = under**2 - below
    if square <= 0:
        return None
    middle = (over * under - both) / square
    half = np.sqrt(max((over * under - both) ** 2 - square * (over**2 - above), 0.0)) / square
    return float(middle - half), float(middle + half)


def _fieller(over: Array, under: Array, t: float) -> tuple[float, float] | None:
    n = len(over)
    above, both, _, below = (np.cov(over, under) / n).ravel().tolist()
    return fieller(float(over.mean()), float(under.mean()), (above, both, below), t)


def quantile(n: int) -> float:
    """Student's t of CONFIDENCE with n - 1 degrees of freedom."""
    from scipy import special  # slow to import: lists and pages do without

    return float(special.stdtrit(n - 1, (1 + CONFIDENCE) / 2))


def _around(value: float, low: float, high: float) -> Interval:
    """Further prompts pull the bounds, never past the estimate."""
    return Interval(value, min(low, value), max(high, value))
