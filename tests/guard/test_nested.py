"""Nested cross-validation against scikit-learn's own pieces; families stay whole, nothing leaks from the held out."""

import numpy as np
import numpy.typing as npt
import pytest
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from snql.errors import InputError
from snql.guard.fitting import GRID
from snql.guard.nested import Candidate, _numbers, family_folds, nested

Rows = npt.NDArray[np.float32]
FAMILIES = [f"f{place % 10}" for place in range(60)]


def drawn(d: int, seed: int = 0) -> tuple[Rows, npt.NDArray[np.bool_]]:
    generator = np.random.default_rng(seed)
    labels = np.array([place % 10 < 5 for place in range(60)])
    labels ^= generator.random(60) < 0.1
    rows = generator.normal(2, 1, (60, d)) * generator.uniform(0.1, 5, d)
    rows[:, :3] += labels[:, None]
    rows[:, -1] = 3.0  # a number that never changes
    return rows.astype(np.float32), labels


@pytest.mark.parametrize(("d", "components"), [(6, True), (200, False)])
def test_it_is_scikit_learns_search_within_each_fold(d: int, components: bool) -> None:
    """Wider than there are prompts or not: the coordinates of the span lose nothing."""
    rows, labels = drawn(d)
    folds = family_folds(labels, FAMILIES, 3, seed=4)
    found = nested([Candidate(rows, components=components)], labels, FAMILIES, folds, seed=4)
    numbers = [number for number in (2, 8, 32) if number < min(d, 25)]
    for number, (known, held) in enumerate(folds):
        scaled = [StandardScaler(), *([PCA(svd_solver="full")] if components else [])]
        pipeline = make_pipeline(*scaled, LogisticRegression(max_iter=1000, tol=1e-6))
        grid = {"logisticregression__C": GRID} | ({"pca__n_components": numbers} if components else {})
        inner = StratifiedGroupKFold(3, shuffle=True, random_state=5 + number)
        own = [FAMILIES[place] for place in known]
        search = GridSearchCV(pipeline, grid, cv=list(inner.split(known, labels[known], own)), scoring="neg_log_loss")
        search.fit(rows[known].astype(float), labels[known])
        chosen = found.folds[number]
        sizes = [len(test) for _, test in inner.split(known, labels[known], own)]
        losses = np.average(
            [search.cv_results_[f"split{split}_test_score"] for split in range(3)], axis=0, weights=sizes
        )
        best = search.cv_results_["params"][int(np.argmax(losses))]
        assert chosen.c == best["logisticregression__C"]
        assert chosen.components == best.get("pca__n_components")
        pipeline.set_params(**best).fit(rows[known].astype(float), labels[known])
        theirs = pipeline.predict_proba(rows[held].astype(float))[:, 1]
        assert found.held_out[held] == pytest.approx(theirs, abs=2e-4)
        assert (chosen.n_train, chosen.n_test) == (len(known), len(held))


def test_the_layer_is_chosen_without_what_is_held_out() -> None:
    """A layer that gives the labels of the held-out prompts away, and is noise elsewhere, is of no use."""
    rows, labels = drawn(5)
    folds = family_folds(labels, FAMILIES, 5, seed=0)
    _, held = folds[2]
    noise = np.random.default_rng(9).normal(size=rows.shape).astype(np.float32)
    leak = noise.copy()
    leak[held] = 100 * labels[held, None]
    candidates = [Candidate(noise, 0), Candidate(rows, 1), Candidate(leak, 2)]
    found = nested(candidates, labels, FAMILIES, folds, seed=0)
    assert found.folds[2].layer == 1
    assert np.isfinite(found.held_out).all()


def test_families_are_never_divided() -> None:
    _, labels = drawn(5)
    folds = family_folds(labels, FAMILIES, 5, seed=1)
    assert sorted(place for _, held in folds for place in held) == list(range(60))
    for known, held in folds:
        assert not {FAMILIES[place] for place in known} & {FAMILIES[place] for place in held}
        assert labels[known].any() and not labels[known].all()


def test_a_seed_of_more_than_32_bits() -> None:
    _, labels = drawn(5)
    one, other = (family_folds(labels, FAMILIES, 3, seed) for seed in (4, 2**32 + 4))
    assert [held.tolist() for _, held in one] == [held.tolist() for _, held in other]


@pytest.mark.parametrize(("d", "expected"), [(1, [1]), (2, [1]), (3, [2]), (8, [2]), (9, [2, 8]), (200, [2, 8])])
def test_fewer_components_are_tried_than_there_are_rows_or_numbers(d: int, expected: list[int]) -> None:
    inner = [(np.arange(20), np.arange(5)), (np.arange(12), np.arange(5))]
    rows = np.zeros((30, d), dtype=np.float32)
    assert _numbers(Candidate(rows, components=True), inner, 25) == expected
    assert _numbers(Candidate(rows), inner, 25) == [None]


def test_families_that_leave_nothing_to_hold_out() -> None:
    labels = np.array([True] * 10 + [False] * 10)
    with pytest.raises(InputError, match="harmful answers are to prompts of 1 families and harmless ones of 10: each"):
        family_folds(labels, ["x"] * 10 + [str(n) for n in range(10)], 5, seed=0)
    assert len(family_folds(labels, ["x"] * 5 + ["y"] * 5 + [str(n) for n in range(10)], 5, seed=0)) == 2


def test_without_folds_inside_c_is_one() -> None:
    rows, labels = drawn(4)
    families = ["a" if label else "b" for label in labels]
    families[:2] = ["c", "d"]
    families = [f"{family}{label}" for family, label in zip(families, labels, strict=True)]
    some = [np.flatnonzero(labels)[-20:], np.flatnonzero(~labels)[-20:]]
    folds = [(np.concatenate(some), np.arange(3))]
    found = nested([Candidate(rows)], labels, families, folds, seed=0)
    assert found.folds[0].c == 1
