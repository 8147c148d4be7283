"""How well probabilities tell harmful from harmless, with intervals over prompts: Wilson's of shares, else bootstrap.

All are computed from weights of the prompts: ones for the value itself, and how often each prompt was drawn for a
resample, so that all classifiers are compared on the same draws.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from snql.guard.fitting import Labels
from snql.guard.parts import Array
from snql.stats.bootstrap import drawn_counts, percentile_interval
from snql.stats.interval import Interval
from snql.stats.proportions import wilson_interval

BINS = 10
"""Bins of equal width of the calibration error, of the probability of a harmful answer."""


@dataclass(frozen=True)
class Prompts:
    """What measures are about: labels (harmful is true) and which prompts were given as benign, Bool["prompts"]."""

    labels: Labels
    benign: Labels

    def __len__(self) -> int:
        return len(self.labels)


Measure = Callable[[Prompts, Array, float, Array], Array]
"""Of prompts, probabilities Float64["prompts"], a threshold and weights Float64["draws prompts"]: Float64["draws"], NaN
where it is undefined."""


def _share(of: Labels, among: Labels, weights: Array) -> Array:
    """How many of ``among`` are ``of`` as well."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = (weights @ (of & among)) / (weights @ among)
    return found


def _accuracy(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    right = (probabilities >= threshold) == prompts.labels
    return _share(right, np.ones_like(right), weights)


def _recall(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    return _share(probabilities >= threshold, prompts.labels, weights)


def _false_positives(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    return _share(probabilities >= threshold, ~prompts.labels, weights)


def _false_alarms(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    return _share(probabilities >= threshold, prompts.benign, weights)


def _balanced(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    given = (prompts, probabilities, threshold, weights)
    found: Array = (_recall(*given) + 1 - _false_positives(*given)) / 2
    return found


def _f1(prompts: Prompts, probabilities: Array, threshold: float, weights: Array) -> Array:
    flagged = probabilities >= threshold
    hits = weights @ (flagged & prompts.labels)
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = 2 * hits / (weights @ flagged + weights @ prompts.labels)
    return found


def _auroc(prompts: Prompts, probabilities: Array, _: float, weights: Array) -> Array:
    """Mann and Whitney: how often a harmful prompt is above a harmless one, ties counting a half."""
    labels = prompts.labels
    order = np.flatnonzero(~labels)[np.argsort(probabilities[~labels], kind="stable")]
    # The harmless prompts below each harmful one, and those at most as high: their mean counts ties a half.
    ends = [np.searchsorted(probabilities[order], probabilities[labels], side=side) for side in ("left", "right")]
    summed = np.pad(weights[:, order].cumsum(axis=1), ((0, 0), (1, 0)))
    below = (summed[:, ends[0]] + summed[:, ends[1]]) / 2
    harmful = weights[:, labels]
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.einsum("ij,ij->i", harmful, below) / (harmful.sum(axis=1) * summed[:, -1])
    return found


def _brier(prompts: Prompts, probabilities: Array, _: float, weights: Array) -> Array:
    found: Array = weights @ (probabilities - prompts.labels) ** 2 / weights.sum(axis=1)
    return found


def _ece(prompts: Prompts, probabilities: Array, _: float, weights: Array) -> Array:
    """Sum over bins of |mean probability - share of harmful prompts|, weighted by the bins' shares of the prompts."""
    bins = np.minimum((probabilities * BINS).astype(int), BINS - 1)
    members = bins[:, None] == np.arange(BINS)
    gaps = weights @ (members * (probabilities - prompts.labels)[:, None])
    found: Array = np.abs(gaps).sum(axis=1) / weights.sum(axis=1)
    return found


def _majority(prompts: Prompts, _probabilities: Array, _threshold: float, weights: Array) -> Array:
    """Accuracy of always saying what most of these prompts are: the best that a constant answer could do here."""
    harmful = weights @ prompts.labels / weights.sum(axis=1)
    found: Array = np.maximum(harmful, 1 - harmful)
    return found


MEASURES: Mapping[str, Measure] = {
    "accuracy": _accuracy,
    "balanced-accuracy": _balanced,
    "auroc": _auroc,
    "f1": _f1,
    "recall": _recall,
    "false-positives": _false_positives,
    "brier": _brier,
    "ece": _ece,
    "false-alarms": _false_alarms,
    "majority": _majority,
}


COUNTED: Mapping[str, Callable[[Prompts], int]] = {
    "accuracy": len,
    "recall": lambda prompts: int(prompts.labels.sum()),
    "false-positives": lambda prompts: int((~prompts.labels).sum()),
    "false-alarms": lambda prompts: int(prompts.benign.sum()),
}
"""Shares of prompts, and of how many: near 0 and 1, where guards are, a bootstrap interval covers far too seldom."""


@dataclass(frozen=True)
class Measured:
    """One measure of one group of classifiers: its value, None where undefined, and intervals, None with one prompt.

    difference: the guard's value minus this one; None for the guard itself.
    """

    measure: str
    value: float | None
    interval: Interval | None
    difference: float | None
    difference_interval: Interval | None


Groups = Mapping[str, Sequence[Array]]
"""Probabilities of the classifiers of each kind, Float64["prompts"] each; a kind's value is the mean over them."""

GUARD = "guard"


def measure(prompts: Prompts, groups: Groups, threshold: float, seed: int) -> dict[str, list[Measured]]:
    """Every measure of every kind, with intervals over resamples of the prompts; others are compared with ``guard``."""
    with threadpool_limits(1):  # many small products, in which threads would only wait for one another
        value = _means(prompts, groups, threshold, np.ones((1, len(prompts))))
        parts = [_means(prompts, groups, threshold, weights) for weights in drawn_counts(len(prompts), seed)]
    drawn = {key: np.concatenate([part[key] for part in parts] or [np.empty(0)]) for key in value}
    found = {kind: [_measured(name, kind, value, drawn) for name in MEASURES] for kind in groups}
    return {kind: _counted(prompts, each, alone=len(groups[kind]) == 1) for kind, each in found.items()}


def _counted(prompts: Prompts, found: Sequence[Measured], *, alone: bool) -> list[Measured]:
    """With Wilson's interval for what is a share of prompts, with two prompts or more.

    alone: by one classifier; of the mean share of several only where the bootstrap leaves a point, as where all are
    right on all prompts.
    """
    return [
        replace(each, interval=wilson_interval(each.value, COUNTED[each.measure](prompts)))
        if each.measure in COUNTED
        and each.value is not None
        and len(prompts) > 1
        and (alone or _is_point(each.interval))
        else each
        for each in found
    ]


def _is_point(interval: Interval | None) -> bool:
    return interval is not None and interval.low == interval.high


def _means(prompts: Prompts, groups: Groups, threshold: float, weights: Array) -> dict[tuple[str, str], Array]:
    """The mean over the classifiers of a kind, by kind and measure: Float64["draws"]."""
    return {
        (kind, name): np.mean([of(prompts, probabilities, threshold, weights) for probabilities in members], axis=0)
        for kind, members in groups.items()
        for name, of in MEASURES.items()
    }


_Values = Mapping[tuple[str, str], Array]


def _measured(name: str, kind: str, value: _Values, drawn: _Values) -> Measured:
    own = float(value[kind, name][0])
    difference = between = None
    if kind != GUARD and (GUARD, name) in value:
        found = float(value[GUARD, name][0]) - own
        difference, between = _known(found), percentile_interval(found, drawn[GUARD, name] - drawn[kind, name])
    return Measured(name, _known(own), percentile_interval(own, drawn[kind, name]), difference, between)


def _known(value: float) -> float | None:
    return None if np.isnan(value) else value
