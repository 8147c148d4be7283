"""Fits against scikit-learn's own pipeline, its cross-validation, and the published defaults."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from snql.errors import InputError
from snql.guard import fitting
from snql.guard.fitting import GRID, check_labels, fit, log_loss


def drawn(n: int = 60, d: int = 8, seed: int = 0) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    generator = np.random.default_rng(seed)
    rows = (generator.normal(3, 1, (n, d)) * generator.uniform(0.01, 10, d)).astype(np.float32)
    standard = (rows - rows.mean(axis=0)) / rows.std(axis=0)
    labels = standard[:, 0] - standard[:, 1] + generator.normal(0, 1, n) > 0.3
    rows[:, 4] = 2.5  # a neuron that never changes
    return rows, labels


def pipeline(c: float) -> object:
    return make_pipeline(StandardScaler(), LogisticRegression(C=c, max_iter=1000))


def test_probabilities_are_those_of_scikit_learns_pipeline() -> None:
    rows, labels = drawn()
    found = fit(rows, labels, 5, seed=3, plain=False)
    others, _ = drawn(seed=1)
    theirs = pipeline(found.c).fit(rows.astype(float), labels)  # type: ignore[attr-defined]
    for given in (rows, others):
        wanted = theirs.predict_proba(given.astype(float))[:, 1]
        assert found.linear.probabilities(given) == pytest.approx(wanted, abs=1e-6)
        weights, intercept = found.linear.folded()
        assert 1 / (1 + np.exp(-(given @ weights + intercept))) == pytest.approx(wanted, abs=1e-6)
    assert found.converged


def test_the_regularisation_is_what_cross_validation_chooses() -> None:
    rows, labels = drawn()
    found = fit(rows, labels, 5, seed=3, plain=False)
    folds = StratifiedKFold(5, shuffle=True, random_state=3)
    held_out = {
        c: cross_val_predict(pipeline(c), rows.astype(float), labels, cv=folds, method="predict_proba")[:, 1]
        for c in GRID
    }
    losses = {c: -np.log(np.where(labels, p, 1 - p)).mean() for c, p in held_out.items()}
    best = min(losses, key=losses.__getitem__)
    assert best not in (GRID[0], GRID[-1]) and GRID == (1e-4, 1e-3, 1e-2, 1e-1, 1, 10, 100)
    assert (found.c, found.n_folds) == (best, 5)
    assert found.log_loss == pytest.approx(losses[best], abs=1e-6)
    assert found.held_out == pytest.approx(held_out[best], abs=1e-6)


def test_plain_is_the_published_way() -> None:
    rows, labels = drawn()
    found = fit(rows, labels, 5, seed=3, plain=True)
    theirs = LogisticRegression().fit(rows.astype(float), labels)
    assert found.linear.probabilities(rows) == pytest.approx(theirs.predict_proba(rows.astype(float))[:, 1], abs=1e-6)
    assert found.c == 1
    assert (found.linear.means == 0).all()
    assert (found.linear.scales == 1).all()
    assert found.converged == (theirs.n_iter_[0] < 100)


def test_a_fit_that_is_cut_off_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "_MOST_STEPS", 2)
    assert not fit(*drawn(), 5, seed=3, plain=False).converged


def test_the_seed_draws_the_folds() -> None:
    rows, labels = drawn()
    # Of a seed, scikit-learn takes 32 bits.
    first, again, other = (fit(rows, labels, 5, seed, plain=False) for seed in (1, 2**32 + 1, 2**40 + 2))
    assert first.held_out is not None and again.held_out is not None and other.held_out is not None
    assert np.array_equal(first.held_out, again.held_out)
    assert not np.allclose(first.held_out, other.held_out)


def test_labels_allow_so_many_folds() -> None:
    def folds(harmful: int, harmless: int, *, plain: bool = False) -> int:
        return check_labels(np.array([True] * harmful + [False] * harmless), "x", plain=plain)

    assert (folds(5, 9), folds(9, 3), folds(2, 9)) == (5, 3, 2)
    assert (folds(1, 9, plain=True), folds(9, 9, plain=True)) == (0, 5)
    with pytest.raises(InputError, match=r"9 answers to x are judged harmful and 0 harmless: a guard needs both"):
        folds(9, 0)
    with pytest.raises(InputError, match=r"0 answers to x are judged harmful and 4 harmless: a guard needs both"):
        folds(0, 4, plain=True)
    with pytest.raises(InputError, match=r"1 answers to x are judged harmful and 4 harmless: with one of a kind"):
        folds(1, 4)


def test_without_folds_nothing_is_held_out() -> None:
    rows, labels = drawn()
    found = fit(rows, labels, 0, seed=0, plain=True)
    assert (found.n_folds, found.log_loss, found.held_out) == (0, None, None)


def test_log_loss() -> None:
    labels = np.array([True, False])
    assert log_loss(labels, np.array([0.8, 0.4])) == pytest.approx(-(np.log(0.8) + np.log(0.6)) / 2)
    assert np.isfinite(log_loss(labels, np.array([0.0, 1.0])))
