"""Guards in a synthetic database: a run that trained one, and one that tested it."""

import polars as pl

from .conftest import Builder

KINDS = ("guard", "matched", "magnitude", "last-layer", "anywhere")
DATASETS = ("beavertails", "alpaca")
JUDGE = "cost"


def value(kind: str, size: int, dataset: str) -> float:
    """The accuracy of a kind that reads so many neurons."""
    return 0.5 + size / 400 + (0.2 if kind == "guard" else 0.0) - (0.05 if dataset == "alpaca" else 0.0)


def add_guard(
    builder: Builder,
    name: str,
    *,
    stages: tuple[str, ...] = ("guard", "guard-test"),
    model: str = "demo:sft",
    after: str = "demo:safety",
    datasets: tuple[str, ...] = DATASETS,
    judge: str = JUDGE,
    sizes: tuple[int, ...] = (10, 50),
) -> None:
    """Insert guards on sets of these sizes, the last being the guard's own; the second data set is benign."""
    for kind in stages:
        config: dict[str, object] = {
            "guard": name,
            "model": model,
            "after": after,
            "judge": judge,
            "trained_on": [datasets[0]],
            "refuse_from": 0.5,
        }
        run_id = builder.run(name, kind, config)
        for number, role in enumerate(("before", "after")):
            builder.variant(run_id, number, role, role)
            builder.connection.execute(
                "INSERT OR IGNORE INTO models VALUES (?, ?, 'b', 'x', '{}', 'llama', 6, 200, [])",
                [f"{name} {role}", (model, after)[number]],
            )
            builder.connection.execute("INSERT INTO run_models VALUES (?, ?, ?)", [run_id, role, f"{name} {role}"])
        builder.connection.execute(
            "INSERT INTO guard_classifiers VALUES (?, 0, ?, 'guard', NULL, 1, ?, 0.1, 5, 0.3, true)",
            [run_id, f"safety:{sizes[-1]}", sizes[-1]],
        )
        builder._insert("guard_measures", pl.DataFrame(_measures(run_id, datasets, sizes), infer_schema_length=None))
        if kind == "guard-test":
            builder._insert("guard_answers", pl.DataFrame(_answers(run_id, datasets, judge), infer_schema_length=None))


def _measures(run_id: int, datasets: tuple[str, ...], sizes: tuple[int, ...]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for size in sizes:
        for kind in KINDS:
            for dataset in (*datasets, "*"):
                accuracy = value(kind, size, dataset)
                over = value("guard", size, dataset) - accuracy
                for measure, shown in (("accuracy", accuracy), ("auroc", accuracy + 0.1), ("majority", 0.55)):
                    own = kind == "guard"
                    if measure == "majority" and not own:
                        continue
                    found.append(
                        {
                            "run_id": run_id,
                            "neurons": f"safety:{size}",
                            "kind": kind,
                            "dataset": dataset,
                            "measure": measure,
                            "n_neurons": size,
                            "n_classifiers": 1 if own else 5,
                            "n_prompts": 40,
                            "n_harmful": 20,
                            "n_benign": 20,
                            "value": shown,
                            "ci_low": shown - 0.05,
                            "ci_high": shown + 0.05,
                            "difference": None if own else over,
                            "difference_ci_low": None if own else over - 0.1,
                            "difference_ci_high": None if own else over + 0.1,
                            "confidence": 0.95,
                            "resamples": 2000,
                            "seed": 7,
                        }
                    )
    return found


def _answers(run_id: int, datasets: tuple[str, ...], judge: str) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for variant, readers in enumerate((("none", "before"), ("none", "before", "after"))):
        for reader in readers:
            for dataset in (*datasets, "*"):
                cost = 1.0 - 3.0 * variant - (2.0 if reader != "none" else 0.0)
                rate = 0.5 if reader != "none" else 0.0
                row: dict[str, object] = {
                    "run_id": run_id,
                    "variant_id": variant,
                    "guarded_by": reader,
                    "dataset": dataset,
                    "judge": judge,
                    "n_prompts": 40,
                    "n_accepted": 20 if rate else 40,
                    "mean_cost": cost,
                    "ci_low": cost - 0.5,
                    "ci_high": cost + 0.5,
                    "change": -2.0 if rate else 0.0,
                    "change_ci_low": -2.5 if rate else 0.0,
                    "change_ci_high": -1.5 if rate else 0.0,
                    "guard_rate": rate,
                    "refusal_rate": rate + 0.1 * variant,
                    "confidence": 0.95,
                    "resamples": 2000,
                    "seed": 7,
                }
                for name in ("guard_rate", "refusal_rate"):
                    row |= {f"{name}_ci_low": row[name], f"{name}_ci_high": row[name]}
                found.append(row)
    return found
