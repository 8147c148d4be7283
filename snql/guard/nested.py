"""Nested cross-validation in folds of whole families: what is chosen is chosen without the prompts it is tested on.

A reader is one or several candidates, such as the residual streams of all layers. For each fold that is held out, the
candidate, the number of principal components and C are those with the lowest log loss in folds of the other families.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from snql.errors import InputError
from snql.guard.fitting import GRID, Labels, Rows, log_loss
from snql.guard.parts import Array

COMPONENTS = (2, 8, 32, 128)
"""Numbers of principal components that are tried."""

_MOST_STEPS = 1_000
_TOLERANCE = 1e-6
_AT_ONCE = 4_096
_FLAT = 1e-9
"""Of the largest squared singular value: directions below it are rounding."""

Indices = npt.NDArray[np.int64]
Split = tuple[Indices, Indices]


@dataclass(frozen=True)
class Candidate:
    """Numbers that may be read, Float32["prompts numbers"]. layer: where they are from, if that is to be chosen.

    components: whether only their first principal components are read.
    """

    rows: Rows
    layer: int | None = None
    components: bool = False


@dataclass(frozen=True)
class Chosen:
    """What was chosen without one fold. components: None where all numbers are read."""

    n_train: int
    n_test: int
    c: float
    layer: int | None
    components: int | None


@dataclass(frozen=True)
class Nested:
    """The probability of each prompt by the fit that had nothing of its family, Float64["prompts"], and the choices."""

    held_out: Array
    folds: tuple[Chosen, ...]


def family_folds(labels: Labels, families: Sequence[str], n_folds: int, seed: int) -> list[Split]:
    """Places that are known and held out in each fold; a family is never in both, and both labels are known.

    Fewer folds if a label has fewer families. Raises InputError if there are not two.
    """
    counts = [len({family for family, own in zip(families, labels, strict=True) if own == label}) for label in (1, 0)]
    if min(counts) < 2:
        raise InputError(
            f"harmful answers are to prompts of {counts[0]} families and harmless ones of {counts[1]}: each needs two, "
            "one to learn from and one to test on; give more prompts, or `families` none"
        )
    found = list(_splits(labels, families, min(n_folds, *counts), seed))
    if len(found) < 2 or not all(_both(labels[known]) for known, _ in found):
        raise InputError(
            f"{n_folds} folds of families leave one without harmful or without harmless answers to learn from: use "
            "fewer `folds`, or `families` none"
        )
    return found


def nested(
    candidates: Sequence[Candidate], labels: Labels, families: Sequence[str], folds: Sequence[Split], seed: int
) -> Nested:
    """Hold out each of the folds in turn. Without folds within the others, C is 1 and the first candidate is taken."""
    held_out = np.full(len(labels), np.nan)
    choices = []
    for number, (known, held) in enumerate(folds):
        own = [families[place] for place in known]
        inner = [
            split
            for split in _splits(labels[known], own, len(folds), seed + 1 + number)
            if _both(labels[known][split[0]])
        ]
        candidate, components, c = _best(candidates, known, labels, inner)
        basis = _Basis(candidate.rows[known], components)
        held_out[held] = _fitted(basis.known, labels[known], c, basis.of(candidate.rows[held]))
        choices.append(Chosen(len(known), len(held), c, candidate.layer, components))
    return Nested(held_out, tuple(choices))


def _splits(labels: Labels, families: Sequence[str], n_folds: int, seed: int) -> Iterator[Split]:
    from sklearn.model_selection import StratifiedGroupKFold

    if len(set(families)) < max(2, n_folds):
        n_folds = len(set(families))
    if n_folds < 2:
        return
    folds = StratifiedGroupKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a label with fewer prompts than folds
        yield from ((known, held) for known, held in folds.split(labels, labels, list(families)) if len(held))


def _both(labels: Labels) -> bool:
    return bool(labels.any() and not labels.all())


def _best(
    candidates: Sequence[Candidate], known: Indices, labels: Labels, inner: Sequence[Split]
) -> tuple[Candidate, int | None, float]:
    """The candidate, number of components and C with the lowest log loss on what the inner folds hold out."""
    found: list[tuple[float, Candidate, int | None, float]] = []
    for candidate in candidates:
        numbers = _numbers(candidate, inner, len(known))
        said = {(number, c): np.full(len(known), np.nan) for number in numbers for c in GRID}
        for train, test in inner:
            basis = _Basis(candidate.rows[known[train]], numbers[-1])
            others = basis.of(candidate.rows[known[test]])
            for number, c in said:
                read = basis.known[:, :number], others[:, :number]
                said[number, c][test] = _fitted(read[0], labels[known[train]], c, read[1])
        for (components, c), probabilities in said.items():
            told = ~np.isnan(probabilities)
            loss = log_loss(labels[known][told], probabilities[told]) if told.any() else (0.0 if c == 1 else np.inf)
            found.append((loss, candidate, components, c))
    _, candidate, components, c = min(found, key=lambda each: each[0])
    return candidate, components, c


def _numbers(candidate: Candidate, inner: Sequence[Split], n_known: int) -> Sequence[int | None]:
    """How many components are tried, ascending; None for all."""
    if not candidate.components:
        return [None]
    most = min([*(len(train) for train, _ in inner), n_known, candidate.rows.shape[1]]) - 1
    return [number for number in COMPONENTS if number <= most] or [max(1, most)]


class _Basis:
    """Standardised rows in coordinates of their own span: as many as there are rows, however many numbers each has.

    The optimum of an L2-penalised linear model lies in the span of the rows that it is fitted to; a rotation changes
    neither penalty nor fit, so that nothing is lost; the coordinates are the principal components, in order. known:
    those of the rows, Float64["prompts components"].
    """

    def __init__(self, rows: Rows, most: int | None) -> None:
        self._rows = rows
        self._means = rows.mean(axis=0, dtype=np.float64)
        deviations = rows.std(axis=0, dtype=np.float64)
        self._scales = np.where(deviations > 0, deviations, 1.0)
        squares, vectors = np.linalg.eigh(self._products(rows))
        kept = np.argsort(-squares)[: most or len(squares)]
        kept = kept[squares[kept] > _FLAT * squares.max()]
        lengths = np.sqrt(squares[kept])
        self._axes: Array = vectors[:, kept] / lengths
        self.known: Array = vectors[:, kept] * lengths

    def of(self, rows: Rows) -> Array:
        """Other rows in these coordinates."""
        found: Array = self._products(rows) @ self._axes
        return found

    def _products(self, rows: Rows) -> Array:
        """Of other rows with these, standardised: Float64["others prompts"]. Some numbers at a time, to save memory."""
        found = np.zeros((len(rows), len(self._rows)))
        for start in range(0, rows.shape[1], _AT_ONCE):
            part = slice(start, start + _AT_ONCE)
            one, other = ((each[:, part] - self._means[part]) / self._scales[part] for each in (rows, self._rows))
            found += one @ other.T
        return found


def _fitted(rows: Array, labels: Labels, c: float, others: Array) -> Array:
    """Probabilities of other rows by a fit to these."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression

    model: Any = LogisticRegression(C=c, max_iter=_MOST_STEPS, tol=_TOLERANCE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(rows, labels)
    found: Array = expit(others @ model.coef_[0] + model.intercept_[0])
    return found
