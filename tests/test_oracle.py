"""snql agrees with the published implementation: change scores, ranks, activations, completions and patching."""

import json
import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from snql.contrast.positions import Positions, Text, text_to_score
from snql.contrast.read import contrast_batch, contrast_sums
from snql.db.scores import statistics_frame
from snql.generation.decode import generate
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.interventions import TARGET

from .conftest import ORACLE
from .patched import PatchRow, first_logits, patch_and_generate

SHAPE = Shape(4, 176)
END_IDS = frozenset({2})

Models = dict[str, LoadedModel]

# file stem, completions file, before, after, positions, whether the ids were decoded and encoded again
SCORE_FILES: list[tuple[str, str, str, str, Positions, bool]] = [
    ("completion_all", "sft", "sft", "dpo", "generated", True),
    ("completion_nolast", "sft", "sft", "dpo", "generated", True),
    ("completion_all_rawids", "sft", "sft", "dpo", "generated", False),
    ("completion_all_dpogen", "dpo", "dpo", "sft", "generated", True),
    ("completion_all_base_vs_dpo", "base", "base", "dpo", "generated", True),
    ("prompt_all", "sft", "sft", "dpo", "prompt", True),
    ("prompt_nolast", "sft", "sft", "dpo", "prompt", True),
    ("prompt_last_all", "sft", "sft", "dpo", "last-prompt", True),
    ("prompt_last_nolast", "sft", "sft", "dpo", "last-prompt", True),
    ("fullmodel_completion_all", "fullmodel", "base", "other", "generated", True),
    ("fullmodel_prompt_all", "fullmodel", "base", "other", "prompt", True),
    ("fullmodel_prompt_last_all", "fullmodel", "base", "other", "last-prompt", True),
]


def completion_rows(name: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads((ORACLE / f"completions_{name}.json").read_text("utf-8"))["rows"]
    return rows


def texts(rows: Sequence[dict[str, Any]], positions: Positions, encoded_again: bool) -> list[Text]:
    prompt, completion = (
        ("reencoded_prompt_ids", "reencoded_completion_ids") if encoded_again else ("prompt_ids", "raw_new_ids")
    )
    return [text_to_score(row["id"], row[prompt], row[completion], positions, END_IDS) for row in rows]


def assert_close(found: Any, golden: Any) -> None:
    np.testing.assert_allclose(found, golden, atol=5e-5, rtol=1e-4)


def batches(items: list[Text], size: int = 4) -> list[list[Text]]:
    return [items[start : start + size] for start in range(0, len(items), size)]


def test_every_score_file_is_checked() -> None:
    stems = {path.stem.removeprefix("change_scores_") for path in ORACLE.glob("change_scores_*.npz")}
    assert stems == {name for name, *_ in SCORE_FILES}


@pytest.mark.parametrize(("name", "completions", "before", "after", "positions", "encoded_again"), SCORE_FILES)
def test_change_scores(
    oracle_models: Models,
    name: str,
    completions: str,
    before: str,
    after: str,
    positions: Positions,
    encoded_again: bool,
) -> None:
    golden = np.load(ORACLE / f"change_scores_{name}.npz")
    scored = texts(completion_rows(completions), positions, encoded_again)
    found = contrast_sums(oracle_models[before], oracle_models[after], batches(scored)).statistics()
    n_layers = len(golden["change_scores"])
    assert (found.count == golden["n_tokens"]).all()
    assert_close(found.change_scores[:n_layers], golden["change_scores"])
    for mean, std, model in (
        (found.mean_before, found.std_before, "second"),
        (found.mean_after, found.std_after, "first"),
    ):
        assert_close(mean[:n_layers], golden[f"{model}_mean"])
        assert_close(std[:n_layers], golden[f"{model}_std"])
    frame = statistics_frame(SHAPE, found.change_scores, {}, found.count, n_layers)
    ranked = frame.drop_nulls("rank").sort("rank")
    assert_same_ranks(ranked.select("layer", "neuron").to_numpy(), golden["neuron_ranks"], golden["change_scores"])


def assert_same_ranks(found: np.ndarray, golden: np.ndarray, scores: np.ndarray) -> None:
    """Equal order, but for neurons whose published scores are within 1e-4 of each other."""
    assert {tuple(pair) for pair in found} == {tuple(pair) for pair in golden}
    found_scores, golden_scores = (scores[pairs[:, 0], pairs[:, 1]] for pairs in (found, golden))
    differs = (found != golden).any(axis=1)
    assert (np.abs(found_scores - golden_scores)[differs] <= 1e-4).all()


def test_activations_of_completions(oracle_models: Models) -> None:
    golden = np.load(ORACLE / "activations_completion_first3.npz")
    scored = texts(completion_rows("sft")[:3], "generated", True)
    assert [len(text.scored) for text in scored] == golden["counts"].tolist()
    assert_activations(oracle_models, scored, golden)


def test_activations_of_last_prompt_tokens(oracle_models: Models) -> None:
    scored = texts(completion_rows("sft"), "last-prompt", True)
    assert_activations(oracle_models, scored, np.load(ORACLE / "activations_prompt_last.npz"))


def assert_activations(models: Models, scored: list[Text], golden: Any) -> None:
    before: dict[int, torch.Tensor] = {}
    after: dict[int, torch.Tensor] = {}

    def collect(layer: int, b: torch.Tensor, a: torch.Tensor) -> None:
        before[layer], after[layer] = b, a

    contrast_batch(models["sft"], models["dpo"], scored, range(4), collect)
    for found, name in ((before, "second"), (after, "first")):
        stacked = torch.stack([found[layer] for layer in range(4)], dim=1).numpy()
        np.testing.assert_allclose(stacked, golden[name], atol=2e-4, rtol=0)


@pytest.mark.parametrize("batch_size", [1, 4, 12])
@pytest.mark.parametrize("name", ["sft", "dpo", "base", "fullmodel"])
def test_completions_token_for_token(oracle_models: Models, name: str, batch_size: int) -> None:
    rows = completion_rows(name)
    model = oracle_models["base" if name == "fullmodel" else name]
    written = []
    for start in range(0, len(rows), batch_size):
        written += generate(model, [row["prompt_ids"] for row in rows[start : start + batch_size]], 24)
    assert [list(completion.token_ids) for completion in written] == [row["raw_new_ids"] for row in rows]
    assert [completion.finish_reason == "stop" for completion in written] == [row["ends_with_eos"] for row in rows]


def patching_runs() -> list[tuple[str, str]]:
    runs = []
    for pair in ("adapters", "fullmodel"):
        stored = json.loads((ORACLE / f"dap_{pair}.json").read_text("utf-8"))
        runs += [(pair, name) for name in stored["runs"]]
    return runs


def patched_set(pair: str, name: str) -> NeuronSet:
    """The neurons of a run named patched_{all|nolast}_top{K|full}_bsB; none for red and blue."""
    if not name.startswith("patched"):
        return NeuronSet.of(SHAPE, [])
    _, layers, top, _ = name.split("_")
    stem = "fullmodel_completion_all" if pair == "fullmodel" else f"completion_{layers}"
    ranks = np.load(ORACLE / f"change_scores_{stem}.npz")["neuron_ranks"]
    k = len(ranks) if top == "topfull" else int(top.removeprefix("top"))
    return NeuronSet.of(SHAPE, [(int(layer), int(neuron)) for layer, neuron in ranks[:k]])


def test_all_38_patching_runs_are_checked() -> None:
    assert len(patching_runs()) == 38


def often(pair: str, name: str) -> Any:
    """A run as a parameter: what runs four at a time runs one at a time, too, and three sizes stand for five."""
    alone = name.endswith("_bs1") and (pair, name) not in ONE_AT_A_TIME
    reasons = {
        "the same sets run four at a time": alone,
        "none, 35 and all": re.search("_top(8|141)_", name),
        "no neurons of all layers are none of all but the last, too": name == "patched_nolast_top0_bs4",
    }
    return pytest.param(pair, name, marks=[pytest.mark.slow(reason) for reason, holds in reasons.items() if holds])


ONE_AT_A_TIME = (("adapters", "patched_nolast_topfull_bs1"), ("fullmodel", "blue_bs1"))


def ways(pair: str) -> tuple[bool, ...]:
    """Fused and in lockstep, where both are possible."""
    return (True, False) if pair == "adapters" else (False,)


@pytest.mark.parametrize(("pair", "name"), [often(*run) for run in patching_runs()])
def test_patching_token_for_token(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], pair: str, name: str
) -> None:
    stored = json.loads((ORACLE / f"dap_{pair}.json").read_text("utf-8"))["runs"][name]
    recipient, donor = ("sft", "dpo") if pair == "adapters" else ("base", "other")
    if name.startswith("blue"):
        recipient = donor
    neurons = patched_set(pair, name)
    rows = [PatchRow(tuple(prompt["input_ids"]), neurons) for prompt in oracle_prompts]
    size = int(name.rpartition("bs")[2])
    for fuse in ways(pair):
        written = patch_and_generate(
            oracle_models[recipient], oracle_models[donor], rows, 24, most_rows=size, fuse=fuse
        )
        assert [list(completion.token_ids) for completion in written] == stored["new_ids"]
    # beside the unpatched recipient, whose completions are drafts for the patched ones
    plain = [PatchRow(row.input_ids, NeuronSet.of(SHAPE, []), TARGET) for row in rows]
    both = patch_and_generate(oracle_models[recipient], oracle_models[donor], [*plain, *rows], 24, most_rows=size)
    assert [list(completion.token_ids) for completion in both[len(plain) :]] == stored["new_ids"]


@pytest.mark.parametrize(("pair", "name"), [run for run in patching_runs() if run[1].endswith("bs1")])
def test_patched_first_step_logits(
    oracle_models: Models, oracle_prompts: list[dict[str, Any]], pair: str, name: str
) -> None:
    golden = np.load(ORACLE / f"dap_{pair}_first_step_logits.npz")[name]
    recipient, donor = ("sft", "dpo") if pair == "adapters" else ("base", "other")
    if name.startswith("blue"):
        recipient = donor
    neurons = patched_set(pair, name)
    rows = [PatchRow(tuple(prompt["input_ids"]), neurons) for prompt in oracle_prompts]
    for fuse in ways(pair):
        logits = first_logits(oracle_models[recipient], oracle_models[donor], rows, fuse=fuse)
        np.testing.assert_allclose(logits.numpy(), golden, atol=2e-4, rtol=0)
