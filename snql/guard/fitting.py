"""Fitting one classifier: standardised logistic regression with cross-validated regularisation, or [P]'s defaults."""

import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from snql.errors import InputError
from snql.guard.parts import Array, Linear

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.bool_]

FOLDS = 5
GRID = tuple(float(f"1e{power}") for power in range(-4, 3))
"""Inverse strengths of the regularisation that cross-validation chooses from, scikit-learn's C."""

_MOST_STEPS = 1_000


@dataclass(frozen=True)
class Fit:
    """A fitted classifier.

    c: scikit-learn's C. n_folds: of the cross-validation, 0 where there was none. log_loss: mean over held-out prompts
    at that C, in nats. held_out: probability of each prompt by the fit of the folds that it is not in,
    Float64["prompts"]; None without cross-validation. converged: whether the last fit came to its end.
    """

    linear: Linear
    c: float
    n_folds: int
    log_loss: float | None
    held_out: Array | None
    converged: bool


def check_labels(labels: Labels, what: str, *, plain: bool) -> int:
    """How many folds these labels allow: at most :data:`FOLDS`, and no more than the rarer label has prompts.

    Raises InputError if all labels are the same, or if one is too rare for two folds and C is to be chosen by them.
    """
    harmful = int(labels.sum())
    harmless = len(labels) - harmful
    if not harmful or not harmless:
        raise InputError(
            f"{harmful} answers to {what} are judged harmful and {harmless} harmless: a guard needs both to "
            "learn from; give other prompts, `benign`, another `threshold` or another `judge`"
        )
    folds = min(FOLDS, harmful, harmless)
    if folds < 2 and not plain:
        raise InputError(
            f"{harmful} answers to {what} are judged harmful and {harmless} harmless: with one of a kind none can be "
            "held out to choose the regularisation; give more prompts, or `plain` for C = 1"
        )
    return folds if folds >= 2 else 0


def fit(rows: Rows, labels: Labels, n_folds: int, seed: int, *, plain: bool) -> Fit:
    """Fit on activations, Float32["prompts neurons"].

    By default activations are standardised (each by its mean and standard deviation over the training prompts), and C
    is the one of :data:`GRID` with the lowest log loss on prompts held out by stratified folds, drawn with ``seed``; of
    equal ones the smallest. plain: scikit-learn's defaults, C = 1 and no scaling, as arXiv 2406.14144 has it.
    """
    grid = (1.0,) if plain else GRID
    held_out = _held_out(rows, labels, n_folds, seed, grid, plain=plain) if n_folds else None
    losses = None if held_out is None else [log_loss(labels, probabilities) for probabilities in held_out]
    best = 0 if losses is None else int(np.argmin(losses))
    linear, converged = next(_fitted(rows, labels, (grid[best],), plain=plain))
    return Fit(
        linear,
        grid[best],
        n_folds,
        None if losses is None else losses[best],
        None if held_out is None else held_out[best],
        converged,
    )


def log_loss(labels: Labels, probabilities: Array) -> float:
    """Mean of -log of the probability of what is the case, in nats; probabilities kept 1e-12 away from 0 and 1."""
    kept = np.clip(probabilities, 1e-12, 1 - 1e-12)
    return float(-np.where(labels, np.log(kept), np.log1p(-kept)).mean())


def _held_out(rows: Rows, labels: Labels, n_folds: int, seed: int, grid: tuple[float, ...], *, plain: bool) -> Array:
    """Probabilities of held-out prompts for each C: Float64["grid prompts"]."""
    from sklearn.model_selection import StratifiedKFold

    found = np.zeros((len(grid), len(labels)))
    # scikit-learn takes seeds of 32 bits.
    folds = StratifiedKFold(n_folds, shuffle=True, random_state=seed % 2**32)
    for known, held in folds.split(rows, labels):
        for place, (linear, _) in enumerate(_fitted(rows[known], labels[known], grid, plain=plain)):
            found[place, held] = expit(linear.logits(rows[held]))
    return found


def _fitted(rows: Rows, labels: Labels, grid: Iterable[float], *, plain: bool) -> Iterator[tuple[Linear, bool]]:
    """For each C the classifier, and whether the fit came to its end."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    values: Any = rows.astype(np.float64)
    means, scales = np.zeros(values.shape[1]), np.ones(values.shape[1])
    if not plain:
        scaler = StandardScaler().fit(values)
        means, scales = scaler.mean_, scaler.scale_
        values = scaler.transform(values)
    for c in grid:
        model = LogisticRegression() if plain else LogisticRegression(C=c, max_iter=_MOST_STEPS)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(values, labels)
        linear = Linear(model.coef_[0].astype(np.float64), means, scales, float(model.intercept_[0]))
        yield linear, int(model.n_iter_.max()) < model.max_iter
