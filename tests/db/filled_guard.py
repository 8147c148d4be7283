"""Rows made by hand for the tables of guard and guard-test runs."""

from collections.abc import Iterator, Sequence
from typing import Any

Row = dict[str, Any]

_INTERVALS = {"confidence": 0.95, "resamples": 2000, "seed": 0}
SETS = {"safety:5%": 4, "safety:10%": 9}
KINDS = ("guard", "matched", "last-layer", "anywhere")
MEASURES = ("accuracy", "auroc", "majority")


def rows(
    run_ids: Sequence[int], prompts: Sequence[int], judges: Sequence[str], compared: Sequence[int]
) -> dict[str, list[Row]]:
    """Rows of runs that each stand for a guard and a test of one: two sets of neurons, each with controls.

    compared: runs that stand for comparisons.
    """
    tables = [*(_rows(run_id, prompts, judges[0]) for run_id in run_ids), _compared(compared)]
    return {name: [row for table in tables for row in table.get(name, ())] for name in tables[0] | tables[-1]}


def _compared(run_ids: Sequence[int]) -> dict[str, list[Row]]:
    """Rows of comparisons: the chosen neurons and the residual stream, in two folds."""
    kinds = ("guard", "residual")
    measures = [row for run_id in run_ids for row in _measures(run_id) if row["neurons"] == "safety:5%"]
    return {
        "guard_readers": [
            {
                "run_id": run_id,
                "classifier_id": number,
                "neurons": "safety:5%",
                "kind": kind,
                "control_seed": None,
                "set_id": None if number else 1,
                "n_numbers": 4,
                "added_ms": 0.5,
                "added_ms_low": 0.25,
                "added_ms_high": 0.75,
            }
            for run_id in run_ids
            for number, kind in enumerate(kinds)
        ],
        "guard_folds": [
            {
                "run_id": run_id,
                "classifier_id": number,
                "fold": fold,
                "n_train": 2,
                "n_test": 2,
                "c": 0.1,
                "layer": fold if number else None,
                "components": None,
            }
            for run_id in run_ids
            for number in (0, 1)
            for fold in (1, 2)
        ],
        "guard_measures": [
            row | {"kind": kind}
            for row in measures
            for old, kind in zip(KINDS, kinds, strict=False)
            if row["kind"] == old
        ],
    }


def _rows(run_id: int, prompts: Sequence[int], judge: str) -> dict[str, list[Row]]:
    classifiers = list(_classifiers(run_id))
    return {
        "guards": [{"run_id": run_id, "threshold": 0.5, "about": '{"model": "b"}'}],
        "guard_classifiers": classifiers,
        "guard_weights": [
            {
                "run_id": run_id,
                "classifier_id": each["classifier_id"],
                "intercept": 0.5,
                "weights": [0.5, -1.0],
                "means": [0.0, 1.0],
                "scales": [1.0, 2.0],
            }
            for each in classifiers
        ],
        "guard_labels": [
            {
                "run_id": run_id,
                "prompt_id": prompt,
                "benign": prompt > 2,
                "score": 1.5 - prompt / 2,
                "label": prompt < 3,
            }
            for prompt in prompts
        ],
        "guard_probabilities": [
            {
                "run_id": run_id,
                "classifier_id": each["classifier_id"],
                "variant_id": variant,
                "prompt_id": prompt,
                "probability": (prompt + variant) / 8,
            }
            for each in classifiers
            for variant in (0, 1)
            for prompt in prompts
        ],
        "guard_measures": list(_measures(run_id)),
        "guard_answers": list(_answers(run_id, judge)),
    }


def _classifiers(run_id: int) -> Iterator[Row]:
    for place, (neurons, n_neurons) in enumerate(SETS.items()):
        for number, kind in enumerate(KINDS):
            yield {
                "run_id": run_id,
                "classifier_id": len(KINDS) * place + number,
                "neurons": neurons,
                "kind": kind,
                "control_seed": None if kind == "guard" else 1,
                "set_id": 1 + number,
                "n_neurons": n_neurons,
                "c": 0.1,
                "n_folds": 5,
                "log_loss": 0.25,
                "converged": True,
            }


def _measures(run_id: int) -> Iterator[Row]:
    for neurons, n_neurons in SETS.items():
        for kind in KINDS:
            for dataset in ("harm", "plain", "*"):
                for measure in MEASURES:
                    own = kind == "guard"
                    value = 0.75 if own else 0.5
                    yield {
                        "run_id": run_id,
                        "neurons": neurons,
                        "kind": kind,
                        "dataset": dataset,
                        "measure": measure,
                        "n_neurons": n_neurons,
                        "n_classifiers": 1,
                        "n_prompts": 4,
                        "n_harmful": 2,
                        "n_benign": 2,
                        "value": value,
                        "ci_low": value - 0.125,
                        "ci_high": value + 0.125,
                        "difference": None if own else 0.25,
                        "difference_ci_low": None if own else -0.125,
                        "difference_ci_high": None if own else 0.5,
                        **_INTERVALS,
                    }


def _answers(run_id: int, judge: str) -> Iterator[Row]:
    for variant, readers in enumerate((("none", "before"), ("none", "before", "after"))):
        for reader in readers:
            for dataset in ("harm", "plain", "*"):
                guarded = reader != "none"
                ends = {
                    f"{name}ci_{end}": 0.25
                    for name in ("", "change_", "guard_rate_", "refusal_rate_")
                    for end in ("low", "high")
                }
                yield {
                    "run_id": run_id,
                    "variant_id": variant,
                    "guarded_by": reader,
                    "dataset": dataset,
                    "judge": judge,
                    "n_prompts": 4,
                    "n_accepted": 2 if guarded else 4,
                    "mean_cost": 0.5 - guarded,
                    "change": -1.0 * guarded,
                    "guard_rate": 0.5 * guarded,
                    "refusal_rate": 0.5,
                    **ends,
                    **_INTERVALS,
                }
