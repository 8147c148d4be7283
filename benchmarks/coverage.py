"""How often intervals hold what they are of: those of snql beside the percentile bootstrap and others, by simulation.

Effects: scores of prompts whose effect is known, from all-or-nothing to graded, noisy and heavy-tailed ones, of 5 to
100 prompts and shares of .02 to .98. Change scores: prompts whose mean squares are as skew as lognormal variables. For
each kind, number of prompts and method: the coverage of nominal 95% intervals that is lowest over the shares, their
mean, and the median width.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from measured import Result, arguments, show
from scipy import special

from snql.stats.effects import effect_interval, mean_interval, ratio_interval
from snql.stats.proportions import wilson_interval
from snql.stats.resampling import bootstrap_weights, scores_of
from snql.stats.scores import score_intervals

Array = npt.NDArray[np.float64]
Bounds = tuple[float, float]
SHARES = (0.02, 0.05, 0.1, 0.3, 0.5, 0.7, 0.9, 0.95, 0.98)
SIZES = (6, 10, 20, 50, 100)
RESAMPLES = 500


@dataclass(frozen=True)
class Drawn:
    """Changes and gaps of some prompts, and the effect of the population that they are from."""

    changes: Array
    gaps: Array
    effect: float


def binary(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """Every prompt has the whole gap; the set closes it or not."""
    return Drawn((generator.random(n) < q).astype(float), np.ones(n), q)


def partial(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """The recipient fails on 60% of prompts, the donor on 5%: most have no gap, a few one the other way."""
    recipient, donor = ((generator.random(n) < share).astype(float) for share in (0.6, 0.05))
    patched = np.where(generator.random(n) < q, donor, recipient)
    return Drawn(patched - recipient, donor - recipient, q)


def classifier(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """Probabilities near 0 or 1."""
    gaps = generator.beta(8, 0.6, n)
    return Drawn(np.where(generator.random(n) < q, gaps, 0) + generator.normal(0, 0.01, n), gaps, q)


def graded(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """Every prompt's gap is closed to about the same share."""
    gaps = generator.normal(1, 0.2, n)
    return Drawn(gaps * generator.normal(q, 0.1, n), gaps, q)


def noisy(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """Scores of a reward model, whose gap is half its spread."""
    gaps = generator.normal(1, 2, n)
    return Drawn(q * gaps + generator.normal(0, 1.5, n), gaps, q)


def heavy(q: float, n: int, generator: np.random.Generator) -> Drawn:
    """A few prompts have most of the gap."""
    gaps = generator.lognormal(0, 1, n)
    return Drawn(gaps * generator.beta(2 * q + 0.05, 2.05 - 2 * q, n), gaps, (2 * q + 0.05) / 2.1)


KINDS = (binary, partial, classifier, graded, noisy, heavy)


def ours(drawn: Drawn) -> Bounds | None:
    found = effect_interval(drawn.changes, drawn.gaps)
    return None if found is None else (found.low, found.high)


def fieller(drawn: Drawn) -> Bounds | None:
    """Without further prompts."""
    found = ratio_interval(drawn.changes, drawn.gaps)
    return None if found is None else (found.low, found.high)


def percentile(drawn: Drawn) -> Bounds | None:
    ratios = _resampled(drawn)
    low, high = np.quantile(ratios, [0.025, 0.975])
    return float(low), float(high)


def accelerated(drawn: Drawn) -> Bounds | None:
    """BCa (Efron 1987)."""
    changes, gaps = drawn.changes, drawn.gaps
    n, ratio, ratios = len(gaps), changes.sum() / gaps.sum(), _resampled(drawn)
    below = (np.count_nonzero(ratios < ratio) + 0.5 * np.count_nonzero(ratios == ratio)) / len(ratios)
    with np.errstate(divide="ignore", invalid="ignore"):
        left_out = (changes.sum() - changes) / (gaps.sum() - gaps)
        pulls = np.nan_to_num(left_out.mean() - left_out)
        skew = np.nan_to_num((pulls**3).sum() / (6 * ((pulls**2).sum()) ** 1.5)) if n > 1 else 0.0
    bias = special.ndtri(np.clip(below, 1 / (2 * len(ratios)), 1 - 1 / (2 * len(ratios))))
    ends = [special.ndtr(bias + (bias + z) / (1 - skew * (bias + z))) for z in special.ndtri([0.025, 0.975])]
    low, high = np.quantile(ratios, np.clip(ends, 0, 1))
    return float(low), float(high)


def studentised(drawn: Drawn) -> Bounds | None:
    """Bootstrap-t, of the linear variance of a ratio."""
    changes, gaps = drawn.changes, drawn.gaps
    counts, ratio = _counts(len(gaps)), float(changes.sum() / gaps.sum())
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = counts @ gaps
        ratios = counts @ changes / sums
        squares = counts @ changes**2 - 2 * ratios * (counts @ (changes * gaps)) + ratios**2 * (counts @ gaps**2)
        t = (ratios - ratio) / (np.sqrt(np.maximum(squares, 0)) / np.abs(sums))
        error = float(np.sqrt(((changes - ratio * gaps) ** 2).sum())) / abs(float(gaps.sum()))
    known = t[np.isfinite(t)]
    if not len(known):
        return ratio, ratio
    low, high = np.quantile(known, [0.025, 0.975])
    return ratio - float(high) * error, ratio - float(low) * error


def wilson(drawn: Drawn) -> Bounds | None:
    """Where every prompt has the whole gap, the effect is a share."""
    if not (drawn.gaps == 1).all():
        return None
    found = wilson_interval(float(drawn.changes.mean()), len(drawn.changes))
    return found.low, found.high


METHODS: dict[str, Callable[[Drawn], Bounds | None]] = {
    "snql": ours,
    "percentile bootstrap": percentile,
    "BCa": accelerated,
    "bootstrap-t": studentised,
    "Fieller": fieller,
    "Wilson": wilson,
}


@cache
def _counts(n: int) -> Array:
    return bootstrap_weights(n, RESAMPLES, 0)


def _resampled(drawn: Drawn) -> Array:
    counts = _counts(len(drawn.gaps))
    with np.errstate(divide="ignore", invalid="ignore"):
        found: Array = np.nan_to_num(counts @ drawn.changes / (counts @ drawn.gaps))
    return found


def of_effects(samples: int) -> Iterator[Result]:
    """Every kind, size and method, where snql has an effect at all."""
    for kind in KINDS:
        for n in SIZES:
            held: dict[str, list[float]] = {name: [] for name in METHODS}
            widths: dict[str, list[float]] = {name: [] for name in METHODS}
            for q in SHARES:
                generator = np.random.default_rng([n, round(100 * q)])
                drawn = [kind(q, n, generator) for _ in range(samples)]
                drawn = [each for each in drawn if effect_interval(each.changes, each.gaps) is not None]
                if len(drawn) < samples / 20:
                    continue  # a gap that is seldom shown: its effect is undefined
                for name, method in METHODS.items():
                    found = [(bounds, each.effect) for each in drawn if (bounds := method(each)) is not None]
                    if found:
                        held[name].append(float(np.mean([low <= q <= high for (low, high), q in found])))
                        widths[name].append(float(np.median([high - low for (low, high), _ in found])))
            yield from _results(f"{kind.__name__}, {n} prompts", held, widths, 0.93 if n >= 20 else None)


def of_scores(samples: int) -> Iterator[Result]:
    """Change scores of prompts of 5 to 64 tokens whose mean squares are lognormal, of some standard deviations."""
    for spread in (0.5, 1.0, 1.5):
        truth = float(np.exp(spread**2 / 4))
        for n in (10, 20, 50, 200):
            generator = np.random.default_rng([n, round(10 * spread)])
            counts = generator.integers(5, 65, (n, samples)).astype(np.float64)
            squared = generator.lognormal(0, spread, (n, samples)) * counts
            own = score_intervals(squared, counts)
            low, high = np.quantile(scores_of(_counts(n), squared, counts), [0.025, 0.975], axis=0)
            held, widths = {}, {}
            for name, ends in (("snql", (own.low, own.high)), ("percentile bootstrap", (low, high))):
                held[name] = [float(((ends[0] <= truth) & (truth <= ends[1])).mean())]
                widths[name] = [float(np.median(ends[1] - ends[0]))]
            yield from _results(f"change scores, spread {spread}, {n} prompts", held, widths, None)


def of_means(samples: int) -> Iterator[Result]:
    """Mean changes of all-or-nothing scores, a tenth of which change the other way."""
    for n in SIZES:
        held: dict[str, list[float]] = {"snql": [], "percentile bootstrap": []}
        widths: dict[str, list[float]] = {"snql": [], "percentile bootstrap": []}
        for q in SHARES:
            generator = np.random.default_rng([n, round(100 * q), 1])
            for name in held:
                bounds = []
                for _ in range(samples):
                    u = generator.random(n)
                    values = (u < q * 0.9).astype(float) - (u > 1 - (1 - q) * 0.1)
                    found = mean_interval(values, np.ones(n))
                    drawn = _counts(n) @ values / n
                    ends = (found.low, found.high) if found and name == "snql" else np.quantile(drawn, [0.025, 0.975])
                    bounds.append((float(ends[0]), float(ends[1])))
                truth = 0.9 * q - 0.1 * (1 - q)
                held[name].append(float(np.mean([low <= truth <= high for low, high in bounds])))
                widths[name].append(float(np.median([high - low for low, high in bounds])))
        yield from _results(f"mean change, {n} prompts", held, widths, 0.93 if n >= 20 else None)


def _results(
    name: str, held: dict[str, list[float]], widths: dict[str, list[float]], least: float | None
) -> Iterator[Result]:
    for method, covered in held.items():
        if covered:
            target = f">= {least}" if least is not None and method == "snql" else None
            yield Result(f"{name}: {method}, lowest coverage", min(covered), target)
            yield Result(f"{name}: {method}, mean coverage", float(np.mean(covered)))
            yield Result(f"{name}: {method}, width", float(np.mean(widths[method])))


def main() -> None:
    asked = arguments(__doc__)
    samples = 100 if asked.quick else 1000
    show([*of_effects(samples), *of_means(samples), *of_scores(samples)], asked.json)


if __name__ == "__main__":
    main()
