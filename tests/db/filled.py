"""Rows made by hand for every table, whatever the schema version: what views must show can be told from them."""

from collections.abc import Iterator
from datetime import datetime
from hashlib import sha256
from typing import Any

import duckdb
import polars as pl

from tests.db import filled_capability, filled_guard, filled_lens

Row = dict[str, Any]

AT = datetime(2026, 1, 2, 3, 4, 5)
RUNS = {
    1: ("safety", "locate", "done"),
    2: ("helpful", "locate", "done"),
    3: ("other", "locate", "done"),
    4: ("experts", "locate", "done"),
    5: ("safety", "patch", "done"),  # the name of a locate run
    6: ("again", "patch", "done"),
    7: ("halfway", "locate", "running"),
    8: ("screen", "divergence", "done"),  # of the patch run named safety; has the rows of other capability runs, too
    9: ("screened", "divergence", "done"),
    10: ("safety", "guard", "done"),
    11: ("safety", "guard-test", "done"),
    12: ("again", "guard-test", "done"),
    13: ("scored", "locate", "done"),
    14: ("values", "lens", "done"),
    15: ("others", "lens", "done"),
    16: ("drawn-safety", "locate", "done"),  # of a shuffle of safety's adapter
    17: ("drawn-helpful", "locate", "done"),
    18: ("cut", "patch", "done"),  # without a donor's part: sets of two sizes set to zero
    19: ("cut-again", "patch", "done"),
    20: ("fair", "guard-compare", "done"),
    21: ("fair-again", "guard-compare", "done"),
}
PATCH_CONFIG = '{"recipient": "b", "donor": "a", "judges": ["cost", "reward"], "samples": 2}'
PATCHED_SHA256 = sha256(PATCH_CONFIG.encode()).hexdigest()
LOCATED, PATCHED, EXPERTS, RUNNING, MEASURED = (1, 2, 3, 4, 13, 16, 17), (5, 6, 18, 19), 4, 7, (8, 9)
GUARDS, LENSES = (10, 11, 12), (14, 15)
COMPARED = (20, 21)
KEPT = (1, 2, EXPERTS)
"""Runs with token-level activations."""
KEPT_SETS = {1: 1, 2: 13, EXPERTS: 14}
"""Their sets of kept neurons, as far as they say: set 1 is no match for run 1."""
KEPT_PLACES = (0, 1, 30, 31, 61)
DATASETS = {1: "harm", 2: "harm", 3: "plain", 4: "plain"}
JUDGES = ("cost", "reward")
SCORES = {"cost": 1.0, "reward": -2.0, "rule": 0.5}
SETS = dict(
    zip(
        range(2, 26, 2),
        [f"{run}:{size}%" for run in ("safety", "helpful", "other", "experts") for size in (5, 10)]
        + ["safety:0%..5%", "safety:5%..10%", "scored:5%", "scored:10%"],
        strict=True,
    )
)
VARIANTS = (
    {0: "recipient", 1: "donor"} | SETS | {number + 1: f"random({name}, seed=1)" for number, name in SETS.items()}
)


def neurons(run_id: int) -> list[Row]:
    """The 120 neurons of a run's model: 3 layers of 40, or 2 layers of 2 experts of 30."""
    if run_id == EXPERTS:
        return [{"layer": x // 60, "expert": x // 30 % 2, "neuron": x % 30} for x in range(120)]
    return [{"layer": x // 40, "expert": None, "neuron": x % 40} for x in range(120)]


def _prompts(run_id: int) -> list[int]:
    if run_id in (*PATCHED, *MEASURED, *GUARDS, *COMPARED):
        return [1, 2, 3, 4]
    return [1, 3] if RUNS[run_id][0] == "other" else [1, 2]


def _positions() -> list[Row]:
    places = [(prompt, position) for prompt in (1, 2) for position in (3, 4)]
    return [{"token_index": i, "prompt_id": prompt, "position": at} for i, (prompt, at) in enumerate(places)]


def _statistics(run_id: int) -> list[Row]:
    # 121 shares no factor with them: no two scores are equal.
    step = {1: 37, 2: 17, 3: 53, 4: 71, 13: 29, 16: 43, 17: 59}[run_id]
    rows = [{"run_id": run_id, **place, "score": (x * step % 121) / 8} for x, place in enumerate(neurons(run_id))]
    ranked = sorted((row for row in rows if row["layer"] < rows[-1]["layer"]), key=lambda row: -row["score"])
    ranks = {id(row): rank for rank, row in enumerate(ranked, start=1)}
    for row in rows:
        means = {"mean_before": row["score"] + 1, "mean_after": 1 - row["score"], "mean_difference": -2 * row["score"]}
        row |= {"rank": ranks.get(id(row)), **means, "std_before": 0.5, "std_after": 0.25, "n_tokens": 4}
    return rows


def _runs() -> Iterator[Row]:
    for run_id, (name, kind, status) in RUNS.items():
        # Each differs from the first in one respect: so rankings can be compared by it.
        positions, writer = "prompt" if name == "helpful" else "generating", "after" if name == "experts" else "before"
        config = f'{{"before": "b", "after": "a", "positions": "{positions}", "completions_by": "{writer}"}}'
        if name == "scored":
            config = config[:-1] + ', "scorer": "wanda"}'
        if name.startswith("drawn-"):
            config = config[:-1] + f', "null_of": "{name.removeprefix("drawn-")}"}}'
        if kind == "patch":
            config = PATCH_CONFIG
        if (kind, name) == ("patch", "again"):
            config = config[:-1] + ', "mode": "donor-weights"}'
        if name.startswith("cut"):
            config = config[:-1] + ', "mode": "zero"}'
        if kind == "lens":
            config = '{"model": "b", "neurons": "safety:5%"}'
        if kind == "divergence":
            config = '{"completions": "safety", "samples": 2, "model": "b", "donor": "a"}'
            config = config[:-1] + f', "completions_sha256": "{PATCHED_SHA256}"}}'
        if run_id in (*GUARDS, *COMPARED):
            config = '{"guard": "safety", "refuse_from": 0.5, "judge": "cost", "model": "b", "trained_on": ["harm"]}'
        yield {
            "run_id": run_id,
            "name": name,
            "kind": kind,
            "status": status,
            "started_at": AT,
            "finished_at": AT if status == "done" else None,
            "error": None,
            "config": config,
            "config_sha256": sha256(config.encode()).hexdigest(),
            "snql_version": "0.1.0",
            **{"git_commit": None, "libraries": "{}", "platform": "p", "device": "cpu", "dtype": "float32", "seed": 0},
            "owner": None,
            "kept_set_id": KEPT_SETS.get(run_id),
            "store": "rows" if run_id in KEPT else None,
            "statistics_digest": None,
            "notes": ["a <b>note</b>", "another"] if run_id == 1 else None,
        }


def _variants() -> Iterator[Row]:
    empty = dict.fromkeys(
        ("neurons", "set_id", "n_neurons", "fraction", "control_of", "control_seed", "control_kind", "route")
    )
    for run_id in LOCATED:
        yield {"run_id": run_id, "variant_id": 0, "name": "before", "role": "before", **empty}
    for run_id in GUARDS:
        for number, role in enumerate(("before", "after")):
            yield {"run_id": run_id, "variant_id": number, "name": role, "role": role, **empty}
    for run_id in (*PATCHED, *MEASURED):
        for number, name in VARIANTS.items():
            row = {"run_id": run_id, "variant_id": number, "name": name, "role": name, **empty}
            if number > 1:
                row |= {"role": "patched", "neurons": name, "n_neurons": number // 2 * 4, "fraction": number // 2 / 30}
                row["set_id"] = number // 2
            if number > 1 and number % 2:
                row |= {"control_of": number - 1, "control_seed": 1, "control_kind": "matched"}
            yield row


def _completions() -> Iterator[Row]:
    written = [(run_id, 0, prompt, 0) for run_id in LOCATED for prompt in _prompts(run_id)]
    written += [(r, v, p, sample) for r in PATCHED for v in VARIANTS for p in _prompts(r) for sample in (0, 1)]
    for run_id, variant, prompt, sample in written:
        asked = variant > 1
        yield {
            "run_id": run_id,
            "variant_id": variant,
            "prompt_id": prompt,
            "text": f"text {variant} {prompt} {sample}",
            "token_ids": [variant, prompt, sample],
            "finish_reason": "length",
            "sample": sample,
            "donor_ids": [1, prompt, sample] if asked else None,
            "unpatched_ids": [0, prompt, 9] if asked else None,
        }


def _effects() -> Iterator[Row]:
    for run_id in PATCHED:
        for variant in range(2, 26):
            for judge in JUDGES:
                for dataset in ("harm", "plain", "*"):
                    effect, score = variant / 8, SCORES[judge]
                    yield {
                        **{"run_id": run_id, "variant_id": variant, "judge": judge, "dataset": dataset},
                        "n_prompts": 4 if dataset == "*" else 2,
                        **{"mean_recipient": 0.0, "mean_donor": score, "mean_patched": variant * score},
                        **{"gap": 2.0, "gap_ci_low": 1.5, "gap_ci_high": 2.5},
                        **{"change": 2 * effect, "change_ci_low": effect, "change_ci_high": 3 * effect},
                        **{"effect": effect, "ci_low": effect / 2, "ci_high": 2 * effect},
                        "confidence": 0.95,
                        "resamples": 2000,
                        "seed": 0,
                    }


def _control_effects() -> Iterator[Row]:
    for effect in _effects():
        if effect["variant_id"] in SETS:
            for kind in ("matched", "anywhere"):
                yield {name: effect[name] for name in ("run_id", "variant_id", "judge", "dataset", "n_prompts")} | {
                    "control_kind": kind,
                    "n_controls": 1,
                    "mean_controls": 1.25,
                    "difference": 0.5,
                    "difference_ci_low": 0.25,
                    "difference_ci_high": 0.75,
                    "t": 2.0,
                    "t_p_value": 0.1,
                    "permutation_p_value": 0.2,
                    "permutations": 10000,
                    "effect_difference": 0.25,
                    "effect_difference_ci_low": 0.125,
                    "effect_difference_ci_high": 0.375,
                    "confidence": 0.95,
                    "resamples": 2000,
                    "seed": 0,
                }


def _margins() -> Iterator[Row]:
    for run_id in PATCHED:
        for variant in VARIANTS:
            for prompt in _prompts(run_id):
                place = {"run_id": run_id, "variant_id": variant, "prompt_id": prompt, "step": 1}
                yield place | {"recipient_token": 5, "donor_token": 7, "margin": variant / 8 - 1}


def _margin_effects() -> Iterator[Row]:
    means = ("n_prompts", "mean_recipient", "mean_donor", "mean_patched")
    ends = tuple(f"{value}_ci_{end}" for value in ("gap", "change") for end in ("low", "high"))
    common = (
        "run_id",
        "variant_id",
        "dataset",
        *means,
        "gap",
        "change",
        *ends,
        "effect",
        "ci_low",
        "ci_high",
        "confidence",
    )
    for effect in _effects():
        if effect["judge"] == JUDGES[0]:
            controls = effect["variant_id"] in SETS
            yield {name: effect[name] for name in common} | {
                "n_same": 2,
                "n_crossed": 1,
                "control_kind": "matched" if controls else None,
                "n_controls": 1 if controls else None,
                "controls_difference": 0.25 if controls else None,
                "controls_difference_ci_low": 0.125 if controls else None,
                "controls_difference_ci_high": 0.375 if controls else None,
                "controls_p_value": 0.2 if controls else None,
            }


def _activations() -> Iterator[Row]:
    for run_id in KEPT:
        for place in (neurons(run_id)[x] for x in KEPT_PLACES):
            for token in _positions():
                value = run_id + place["layer"] + place["neuron"] / 4
                yield {"run_id": run_id, **place, **token, "before": value, "after": value - token["position"]}


def _chunks() -> Iterator[Row]:
    for run_id in KEPT:
        layers = [row["layer"] for row in _activations() if row["run_id"] == run_id]
        for chunk, layer in enumerate(sorted(set(layers))):
            n_rows = layers.count(layer)
            yield {"run_id": run_id, "chunk": chunk, "layer": layer, "n_rows": n_rows, "digest": None, "file": None}


def _batches() -> Iterator[Row]:
    for run_id, stage in ((1, "contrast"), *((run_id, "keep") for run_id in KEPT), (RUNNING, "contrast")):
        for batch in (0, 1):
            counts = {"n_prompts": 1, "n_tokens": 2, "finished_at": AT, "file": None, "sha256": None}
            yield {"run_id": run_id, "stage": stage, "batch": batch, **counts}


def _prompt_sets() -> Iterator[Row]:
    lost = ("n_filtered", "n_blank", "n_duplicates", "n_overlapping", "n_unsampled", "n_cut")
    for run_id in RUNS:
        for ordinal, dataset in enumerate(["harm", "plain"] if run_id in PATCHED else ["harm"]):
            counts = {"n_rows": 3, **dict.fromkeys(lost, 0), "n_cut": 1, "n_kept": 2, "disjoint_from": ["safety"]}
            yield {"run_id": run_id, "ordinal": ordinal, "dataset": dataset, **counts}


def _roles() -> Iterator[Row]:
    for run_id in RUNS:
        for role, model in zip(("recipient", "donor") if run_id in PATCHED else ("before", "after"), "ba", strict=True):
            yield {"run_id": run_id, "role": role, "model_id": f"{model}{2 if run_id == EXPERTS else 3}"}


def _models() -> Iterator[Row]:
    for name in ("b", "a"):
        for layers in (3, 2):
            parts = {"base": "base", "base_sha256": "x", "base_files": "{}", "architecture": "llama"}
            sizes = {"n_layers": layers, "n_neurons": 120 // layers, "adapter_ids": ["ad"] if name == "a" else []}
            yield {"model_id": f"{name}{layers}", "spec": name, **parts, **sizes}


def rows() -> dict[str, list[Row]]:
    """The rows of every table, columns of old versions among them."""
    cells = [{"run_id": run_id, **place} for run_id in KEPT for place in neurons(run_id)]
    interval = {"ci_low": 0.25, "ci_high": 0.75, "standard_error": 0.125, "top_share": 0.5}
    members = [{"layer": 0, "expert": expert, "neuron": neuron} for expert in (0, 1) for neuron in range(4)]
    members.append({"layer": 1, "expert": 0, "neuron": 0})
    kept = [{"set_id": KEPT_SETS[run_id], **neurons(run_id)[x]} for run_id in (2, EXPERTS) for x in KEPT_PLACES]
    return {
        "runs": list(_runs()),
        "models": list(_models()),
        "adapters": [{"adapter_id": "ad", "path": "ad", "peft_type": "IA3", "config": "{}", "files": "{}"}],
        "run_models": list(_roles()),
        "prompts": [
            {"prompt_id": i, "dataset": name, "text": f"<b>{i}</b>", "sha256": f"s{i}", "category": None, "label": "x"}
            for i, name in DATASETS.items()
        ],
        "run_prompts": [
            {"run_id": run_id, "prompt_id": prompt, "ordinal": i, "formatted": "f", "input_ids": [1, 2], "batch": i}
            for run_id in RUNS
            for i, prompt in enumerate(_prompts(run_id))
        ],
        "run_prompt_sets": list(_prompt_sets()),
        "neuron_sets": [
            {"set_id": i, "sha256": f"n{i}", "n_neurons": 9 if i < 13 else 5, "created_at": AT} for i in range(1, 15)
        ],
        "neuron_set_members": [{"set_id": i, **place} for i in range(1, 13) for place in members] + kept,
        "named_sets": [
            {"name": name, "set_id": 1, "expression": "safety:5%", "created_at": AT}
            | {"n_layers": 2, "n_neurons": 60, "n_experts": 2}
            for name in ("mine", "yours")
        ],
        "variants": list(_variants()),
        "completions": list(_completions()),
        "neuron_statistics": [row for run_id in LOCATED for row in _statistics(run_id)],
        "scored_tokens": [
            {"run_id": run_id, **token, "token_id": 7, "token": f"t{token['position']}"}
            for run_id in KEPT
            for token in _positions()
        ],
        "activation_rows": list(_activations()),
        "activation_chunks": list(_chunks()),
        "run_batches": list(_batches()),
        "judges": [{"judge": judge, "kind": "test", "version": "1", "settings": "{}"} for judge in SCORES],
        "judgements": [
            {
                **{name: row[name] for name in ("run_id", "variant_id", "prompt_id", "sample")},
                "judge": judge,
                "score": SCORES[judge] * row["variant_id"],
                "label": None,
                "problem": None,
            }
            for row in _completions()
            if row["run_id"] in PATCHED
            for judge in SCORES
        ],
        "effects": list(_effects()),
        "control_effects": list(_control_effects()),
        "margins": list(_margins()),
        "margin_effects": list(_margin_effects()),
        "prompt_sums": [
            {
                **{name: row[name] for name in ("run_id", "layer", "expert", "neuron")},
                "prompt_id": prompt,
                "n_tokens": 2,
                "squared_differences": 2 * row["score"] ** 2,
            }
            for run_id in KEPT
            for row in _statistics(run_id)
            for prompt in (1, 2)
        ],
        "score_intervals": [{**cell, **interval} for cell in cells],
        **filled_capability.rows(MEASURED, VARIANTS, _prompts(MEASURED[0])),
        **filled_guard.rows(GUARDS, _prompts(GUARDS[0]), JUDGES, COMPARED),
        **filled_lens.rows(LENSES),
    }


def fill(connection: duckdb.DuckDBPyConnection) -> dict[str, list[Row]]:
    """Insert into every table that there is, in the columns that it has; return what was inserted, in all its columns.

    A database without ``sample`` gets first samples only.
    """
    inserted = {}
    for table, wanted in rows().items():
        columns = _columns(connection, table)
        if columns:
            kept = [row for row in wanted if "sample" in columns or row.get("sample", 0) == 0]
            frame = pl.DataFrame(kept, infer_schema_length=None).select(columns)
            connection.register("filling", frame.to_arrow())
            connection.execute(f"INSERT INTO {table} BY NAME SELECT * FROM filling")
            connection.unregister("filling")
            inserted[table] = kept
    return inserted


def _columns(connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    query = "SELECT column_name FROM duckdb_columns() WHERE table_name = ? ORDER BY column_index"
    return [name for (name,) in connection.execute(query, [table]).fetchall()]
