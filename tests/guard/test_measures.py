"""Measures against formulas written out prompt by prompt, and against scikit-learn."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from sklearn import metrics

from snql.db.connection import Database
from snql.guard.measures import GUARD, MEASURES, Prompts, measure
from snql.stats.proportions import wilson_interval

pytestmark = pytest.mark.usefixtures("lingering")

Array = npt.NDArray[np.float64]


def drawn(n: int, seed: int) -> tuple[Prompts, Array]:
    """Labels that probabilities with many ties tell about."""
    generator = np.random.default_rng(seed)
    probabilities = generator.integers(0, 21, n) / 20
    labels = generator.random(n) < 0.2 + 0.6 * probabilities
    return Prompts(labels, generator.random(n) < 0.4), probabilities


def value(name: str, prompts: Prompts, probabilities: Array, threshold: float = 0.5) -> float:
    return float(MEASURES[name](prompts, probabilities, threshold, np.ones((1, len(prompts))))[0])


def by_hand(name: str, prompts: Prompts, probabilities: Array, threshold: float) -> float:
    pairs = [
        (float(p), bool(label), bool(benign))
        for p, label, benign in zip(probabilities, prompts.labels, prompts.benign, strict=True)
    ]
    hits = sum(p >= threshold and label for p, label, _ in pairs)
    alarms = sum(p >= threshold and not label for p, label, _ in pairs)
    harmful, harmless = sum(label for _, label, _ in pairs), sum(not label for _, label, _ in pairs)
    if name == "accuracy":
        return (hits + harmless - alarms) / len(pairs)
    if name == "balanced-accuracy":
        return (hits / harmful + (harmless - alarms) / harmless) / 2
    if name == "f1":
        precision, recall = hits / (hits + alarms), hits / harmful
        return 2 * precision * recall / (precision + recall)
    if name == "auroc":
        above = [(a > b) + (a == b) / 2 for a, x, _ in pairs if x for b, y, _ in pairs if not y]
        return sum(above) / len(above)
    if name == "brier":
        return sum((p - label) ** 2 for p, label, _ in pairs) / len(pairs)
    if name == "ece":
        bins: dict[int, list[tuple[float, bool]]] = {}
        for p, label, _ in pairs:
            bins.setdefault(min(9, math.floor(p * 10)), []).append((p, label))
        gaps = [
            abs(sum(p for p, _ in part) / len(part) - sum(y for _, y in part) / len(part)) * len(part)
            for part in bins.values()
        ]
        return sum(gaps) / len(pairs)
    if name == "majority":
        return max(harmful, harmless) / len(pairs)
    flagged = {"recall": hits / harmful, "false-positives": alarms / harmless}
    benign = [p >= threshold for p, _, benign in pairs if benign]
    return {**flagged, "false-alarms": sum(benign) / len(benign)}[name]


@pytest.mark.parametrize("name", MEASURES)
@pytest.mark.parametrize(("n", "threshold"), [(37, 0.5), (120, 0.35)])
def test_values_are_the_formulas(name: str, n: int, threshold: float) -> None:
    prompts, probabilities = drawn(n, seed=n)
    assert value(name, prompts, probabilities, threshold) == pytest.approx(
        by_hand(name, prompts, probabilities, threshold), abs=1e-12
    )


def test_values_are_those_of_scikit_learn() -> None:
    prompts, probabilities = drawn(200, seed=3)
    labels, flagged = prompts.labels, probabilities >= 0.5
    expected = {
        "accuracy": metrics.accuracy_score(labels, flagged),
        "balanced-accuracy": metrics.balanced_accuracy_score(labels, flagged),
        "auroc": metrics.roc_auc_score(labels, probabilities),
        "f1": metrics.f1_score(labels, flagged),
        "recall": metrics.recall_score(labels, flagged),
        "brier": metrics.brier_score_loss(labels, probabilities),
    }
    for name, wanted in expected.items():
        assert value(name, prompts, probabilities) == pytest.approx(wanted, abs=1e-12), name


@pytest.mark.parametrize("name", MEASURES)
def test_a_weight_of_two_is_a_prompt_twice(name: str) -> None:
    prompts, probabilities = drawn(40, seed=5)
    times = np.random.default_rng(1).integers(0, 3, 40)
    twice = np.repeat(np.arange(40), times)
    weighted = MEASURES[name](prompts, probabilities, 0.5, times[None].astype(float))
    repeated = Prompts(prompts.labels[twice], prompts.benign[twice])
    assert float(weighted[0]) == pytest.approx(value(name, repeated, probabilities[twice]), abs=1e-12)


def test_perfect_and_calibrated_probabilities() -> None:
    labels = np.array([True] * 3 + [False] * 7)
    prompts = Prompts(labels, ~labels)
    assert value("ece", prompts, np.full(10, 0.3)) == pytest.approx(0)
    assert value("brier", prompts, np.full(10, 0.3)) == pytest.approx(0.21)
    assert value("ece", prompts, np.full(10, 0.9)) == pytest.approx(0.6)
    certain = labels.astype(float)
    found = {name: value(name, prompts, certain) for name in MEASURES}
    assert found["auroc"] == found["accuracy"] == found["f1"] == found["recall"] == 1
    assert found["ece"] == found["brier"] == found["false-alarms"] == 0
    assert found["majority"] == 0.7


def test_what_is_undefined_is_none() -> None:
    prompts = Prompts(np.zeros(4, dtype=bool), np.zeros(4, dtype=bool))
    found = {m.measure: m for m in measure(prompts, {GUARD: [np.array([0.1, 0.2, 0.3, 0.4])]}, 0.5, 0)[GUARD]}
    undefined = {name for name, each in found.items() if each.value is None}
    assert undefined == {"auroc", "balanced-accuracy", "recall", "f1", "false-alarms"}
    assert all(found[name].interval is None for name in undefined)
    assert found["accuracy"].value == 1


def test_several_that_are_all_right_are_no_point() -> None:
    labels = np.array([True] * 10 + [False] * 10)
    right = labels.astype(float)
    found = {
        m.measure: m for m in measure(Prompts(labels, ~labels), {GUARD: [right], "any": [right] * 3}, 0.5, 0)["any"]
    }
    for name, n in (("accuracy", 20), ("recall", 10), ("false-alarms", 10)):
        assert ends(found[name].interval) == ends(wilson_interval(found[name].value or 0.0, n)), name


def test_intervals_are_the_bootstrap_written_out() -> None:
    """Resample by resample: the guard, the mean of two controls, and their paired difference."""
    prompts, probabilities = drawn(30, seed=8)
    others = [drawn(30, seed=seed)[1] for seed in (9, 10)]
    found = measure(prompts, {GUARD: [probabilities], "matched": others}, 0.5, seed=4)
    generator = np.random.default_rng(4)
    rows: dict[str, list[tuple[float, float]]] = {name: [] for name in ("accuracy", "auroc", "ece")}
    for _ in range(2000):
        twice = np.repeat(np.arange(30), generator.multinomial(30, [1 / 30] * 30))
        again = Prompts(prompts.labels[twice], prompts.benign[twice])
        for name, pairs in rows.items():
            pairs.append(
                (
                    value(name, again, probabilities[twice]),
                    float(np.mean([value(name, again, other[twice]) for other in others])),
                )
            )
    for name, pairs in rows.items():
        own, controls = np.array(pairs).T
        guard = next(m for m in found[GUARD] if m.measure == name)
        matched = next(m for m in found["matched"] if m.measure == name)
        if name != "accuracy":  # a share of prompts, which has Wilson's
            assert ends(guard.interval) == pytest.approx(tuple(np.quantile(own, [0.025, 0.975])), abs=1e-12)
        assert ends(matched.interval) == pytest.approx(tuple(np.quantile(controls, [0.025, 0.975])), abs=1e-12)
        assert ends(matched.difference_interval) == pytest.approx(
            tuple(np.quantile(own - controls, [0.025, 0.975])), abs=1e-12
        )
        assert matched.difference == pytest.approx(guard.value - matched.value)  # type: ignore[operator]
        assert guard.difference is None


def test_shares_of_prompts_have_intervals_that_cover() -> None:
    """Near 1, where a guard is, 95% must be about 95%: the bootstrap's 2.5% and 97.5% of the draws are not."""
    generator, right = np.random.default_rng(0), 0.98
    covered = {"wilson": 0, "bootstrap": 0}
    for _ in range(300):
        prompts = Prompts(np.ones(50, dtype=bool), np.zeros(50, dtype=bool))
        hits = generator.random(50) < right
        (low, high) = ends(
            {m.measure: m for m in measure(prompts, {GUARD: [hits.astype(np.float64)]}, 0.5, 0)[GUARD]}[
                "recall"
            ].interval
        )
        covered["wilson"] += low <= right <= high
        drawn_shares = generator.binomial(50, hits.mean(), 2000) / 50
        covered["bootstrap"] += bool(np.quantile(drawn_shares, 0.025) <= right <= np.quantile(drawn_shares, 0.975))
    assert covered["wilson"] / 300 > 0.9 > 0.7 > covered["bootstrap"] / 300


def test_shares_are_of_what_they_count(db: Database) -> None:
    with db.write():
        pass
    prompts, probabilities = drawn(40, seed=8)
    found = {m.measure: m for m in measure(prompts, {GUARD: [probabilities]}, 0.5, seed=4)[GUARD]}
    flagged, labels = probabilities >= 0.5, prompts.labels
    for name, of, among in (
        ("accuracy", flagged == labels, np.ones(40, dtype=bool)),
        ("recall", flagged, labels),
        ("false-positives", flagged, ~labels),
        ("false-alarms", flagged, prompts.benign),
    ):
        ((by_sql,),) = db.rows("SELECT wilson_interval(?, ?)", [int((of & among).sum()), int(among.sum())])
        assert ends(found[name].interval) == pytest.approx((by_sql["low"], by_sql["high"]))
    perfect = {m.measure: m for m in measure(prompts, {GUARD: [labels.astype(np.float64)]}, 0.5, seed=4)[GUARD]}[
        "accuracy"
    ]
    assert ends(perfect.interval) == pytest.approx((40 / (40 + 1.959964**2), 1), abs=1e-6), "no point"


def ends(found: Any) -> tuple[float, float]:
    return found.low, found.high


def test_resamples_without_both_labels_do_not_count() -> None:
    """With one harmful prompt of three, a third of the resamples has none."""
    prompts = Prompts(np.array([True, False, False]), np.zeros(3, dtype=bool))
    found = {m.measure: m for m in measure(prompts, {GUARD: [np.array([0.9, 0.2, 0.1])]}, 0.5, 0)[GUARD]}
    assert ends(found["auroc"].interval) == (1, 1)
    single = measure(Prompts(np.array([True]), np.array([False])), {GUARD: [np.array([0.9])]}, 0.5, 0)[GUARD]
    assert [m.interval for m in single] == [None] * len(MEASURES)
    assert next(m.value for m in single if m.measure == "accuracy") == 1
