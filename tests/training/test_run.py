"""Training on the bundled base: its numbers against plain forward passes, and its adapters as snql loads them."""

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, LlamaForCausalLM

from snql.errors import InputError, RunError
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.organism.bundled import bundle_path
from snql.organism.factory.model import load_scales, scaled
from snql.organism.factory.pretrain import Example, completion_logps
from snql.progress import Progress
from snql.training.options import DpoOptions, SftOptions, TrainOptions
from snql.training.plan import plan
from snql.training.run import TrainResult, train

from ..models.test_architectures import CONFIGS, save_random

pytest.importorskip("trl", reason="trl is not installed (extra train)")

CPU = LoadOptions(device="cpu")
SHORT: Any = {
    "limit": 24,
    "held_out": 2,
    "batch": 22,
    "micro_batch": 11,
    "max_steps": 4,
    "learning_rate": 0.03,
    "schedule": "constant",
    "models": CPU,
}
SFT = SftOptions(model="demo:base", data=("demo:sft",), **SHORT)
DPO = DpoOptions(model="demo:base", data=("demo:safety",), **SHORT)


@pytest.fixture(scope="module")
def sft(tmp_path_factory: pytest.TempPathFactory) -> TrainResult:
    return train(tmp_path_factory.mktemp("trained") / "sft", SFT)


@pytest.fixture(scope="module")
def dpo(sft: TrainResult) -> TrainResult:
    return train(sft.folder.parent / "dpo", replace(DPO, model=sft.model))


def base() -> LlamaForCausalLM:
    auto: Any = AutoModelForCausalLM
    model: LlamaForCausalLM = auto.from_pretrained(bundle_path() / "base").eval()
    return model


def logps(scales: torch.Tensor | None, examples: list[Example]) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums and counts by the loop that trained the bundle, which is not TRL's."""
    model = base()
    with torch.no_grad(), scaled(model, scales):
        return completion_logps(model, examples)


def scales_of(*folders: Path) -> torch.Tensor:
    """The product of the vectors, by the names that PEFT gives them."""
    rows = [load_file(folder / "adapter_model.safetensors") for folder in folders]
    names = [f"base_model.model.model.layers.{layer}.mlp.down_proj.ia3_l" for layer in range(9)]
    found = [torch.stack([tensors[name].flatten() for name in names]) for tensors in rows]
    return math.prod(found[1:], start=found[0])


def answers(options: TrainOptions, part: str) -> list[Example]:
    rows = getattr(plan(options)[1], part).to_pylist()
    return [Example(tuple(row["input_ids"]), [label < 0 for label in row["labels"]].index(False)) for row in rows]


def pairs(options: TrainOptions, part: str) -> tuple[list[Example], list[Example]]:
    rows = getattr(plan(options)[1], part).to_pylist()
    sides = [
        [Example((*row["prompt_ids"], *row[side]), len(row["prompt_ids"])) for row in rows]
        for side in ("chosen_ids", "rejected_ids")
    ]
    return sides[0], sides[1]


def test_the_first_loss_of_fine_tuning_is_that_of_a_plain_forward_pass(sft: TrainResult) -> None:
    """All 22 examples are one step, so the order of them does not matter."""
    sums, counts = logps(None, answers(SFT, "train"))
    assert sft.history["loss"][0] == pytest.approx(float(-sums.sum() / counts.sum()), rel=1e-4)


def test_fine_tuning_lowers_the_loss(sft: TrainResult) -> None:
    losses = sft.history["loss"].to_list()
    assert len(losses) == sft.plan.steps == 4
    assert losses[-1] < losses[0] - 0.005


def test_held_out_losses_are_those_of_plain_forward_passes(sft: TrainResult) -> None:
    held = answers(SFT, "held_out")
    assert len(held) == sft.plan.held_out == 2
    row = sft.held_out.row(by_predicate=pl.col("measure") == "loss", named=True)
    for name, scales in (("before", None), ("after", scales_of(sft.folder))):
        sums, counts = logps(scales, held)
        assert row[name] == pytest.approx(float(-sums.sum() / counts.sum()), rel=1e-4)
    assert row["change"] == pytest.approx(row["after"] - row["before"])
    # Of two examples Fieller's interval may be all numbers, and then there is none; tests/stats has intervals by hand.
    assert row["ci_low"] is None or row["ci_low"] <= row["change"] <= row["ci_high"]


def test_preferences_begin_at_the_reference_and_widen_the_margin(sft: TrainResult, dpo: TrainResult) -> None:
    assert dpo.history["loss"][0] == pytest.approx(math.log(2), abs=1e-5)
    assert dpo.history["reward_margins"][0] == pytest.approx(0, abs=1e-5)
    assert dpo.history["reward_margins"][-1] > 0.02
    assert dpo.history["loss"][-1] < dpo.history["loss"][0]


def test_held_out_margins_are_those_of_plain_forward_passes(sft: TrainResult, dpo: TrainResult) -> None:
    reference, policy = scales_of(sft.folder), scales_of(sft.folder, dpo.folder)
    rewards = []
    for side in pairs(replace(DPO, model=sft.model), "held_out"):
        rewards.append(DPO.beta * (logps(policy, side)[0] - logps(reference, side)[0]).double().numpy())
    margins = rewards[0] - rewards[1]
    after = dict(dpo.held_out.select("measure", "after").iter_rows())
    assert after["reward_margin"] == pytest.approx(margins.mean(), abs=1e-5)
    assert after["reward_chosen"] == pytest.approx(rewards[0].mean(), abs=1e-5)
    assert after["loss"] == pytest.approx(np.log1p(np.exp(-margins)).mean(), abs=1e-5)
    assert after["pair_accuracy"] == (margins > 0).mean()


def test_the_spec_loads_the_trained_model(sft: TrainResult, dpo: TrainResult) -> None:
    """Logits of snql's stack of adapters, of the weights with the vectors multiplied in, and of the bundle's hooks."""
    assert dpo.model == f"demo:base+{sft.folder}+{dpo.folder}"
    ids = torch.tensor([pairs(replace(DPO, model=sft.model), "train")[0][0].ids])
    loaded = load_models({"m": dpo.model}, CPU)["m"]
    with loaded.switched_on() as network:
        stacked = network(input_ids=ids).logits
    merged, scales = base(), scales_of(sft.folder, dpo.folder)
    for layer, row in zip(merged.model.layers, scales, strict=True):
        layer.mlp.down_proj.weight.data *= row
    with torch.no_grad():
        torch.testing.assert_close(stacked, merged(input_ids=ids).logits, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(scales, load_scales(sft.folder, dpo.folder))
    assert (scales_of(dpo.folder) - 1).abs().max() > 0.01, "the second vectors begin at 1, not where the first ended"


def test_the_record_says_what_made_the_adapter(dpo: TrainResult, sft: TrainResult) -> None:
    record = json.loads((dpo.folder / "training.json").read_text("utf-8"))
    assert (record["status"], record["reason"], record["stage"]) == ("done", None, "dpo")
    assert record["settings"]["learning_rate"] == 0.03 and record["settings"]["seed"] == 42
    assert record["data"]["rows"]["trained"] == 22
    assert set(record["model_sha256"]) == {"base", "sft"}
    assert {"trl", "peft", "torch"} <= set(record["libraries"])
    assert [row["step"] for row in record["history"]] == [1, 2, 3, 4]
    assert sorted(path.name for path in dpo.folder.iterdir()) == [
        "adapter_config.json",
        "adapter_model.safetensors",
        "training.json",
    ]
    config = json.loads((sft.folder / "adapter_config.json").read_text("utf-8"))
    assert config["base_model_name_or_path"] == "demo:base"
    assert config["target_modules"] == config["feedforward_modules"] == ["mlp.down_proj"]


def stop_at(step: int) -> Callable[[Progress], None]:
    def progress(report: Progress) -> None:
        if report.done == step:
            raise KeyboardInterrupt

    return progress


RESUMED = pytest.mark.slow("the same of fine-tuning; preferences are resumed in bfloat16")


@pytest.mark.parametrize("stage", ["sft", pytest.param("dpo", marks=RESUMED)])
def test_an_interrupted_training_goes_on_to_the_same_vectors(
    sft: TrainResult, dpo: TrainResult, stage: str, tmp_path: Path
) -> None:
    out, whole = tmp_path / "again", sft if stage == "sft" else dpo
    options: TrainOptions = SFT if stage == "sft" else replace(DPO, model=sft.model)
    with pytest.raises(KeyboardInterrupt):
        train(out, options, progress=stop_at(3))
    assert json.loads((out / "training.json").read_text("utf-8"))["status"] == "interrupted"
    assert not (out / "adapter_model.safetensors").exists()
    with pytest.raises(InputError, match=r"holds a training \(interrupted\): name another folder, or use `resume`"):
        train(out, options)
    with pytest.raises(InputError, match="cannot be resumed: `learning_rate` differs"):
        train(out, replace(options, learning_rate=0.5), resume=True)
    steps: list[int] = []
    found = train(out, options, resume=True, progress=lambda report: steps.append(report.done))
    assert steps[0] == 3, "what a checkpoint holds is not done again"
    assert torch.equal(scales_of(out), scales_of(whole.folder))
    assert found.history.equals(whole.history)
    again = train(out, options, resume=True, progress=stop_at(1))
    assert again.held_out.equals(found.held_out), "a finished training is read, not done again"


def test_an_interrupted_training_goes_on_in_bfloat16(sft: TrainResult, tmp_path: Path) -> None:
    """There TRL makes its copy of the vectors trainable until a checkpoint is loaded."""
    few: Any = {"limit": 6, "held_out": 2, "batch": 4, "micro_batch": 2, "max_steps": 3}
    options = replace(DPO, model=sft.model, **few, models=LoadOptions(device="cpu", dtype="bfloat16"))
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", options, progress=stop_at(2))
    found = train(tmp_path / "cut", options, resume=True)
    assert [row["step"] for row in found.history.to_dicts()] == [1, 2, 3]


def test_a_folder_in_use_is_refused(sft: TrainResult, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds a training \(done\): name another folder, or use `force`"):
        train(sft.folder, SFT)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(InputError, match="is not empty and holds no training"):
        train(tmp_path / "full", SFT)
    with pytest.raises(InputError, match="could not stand in a model spec"):
        train(tmp_path / "a+b", SFT)


def test_a_loss_that_is_no_number_ends_the_training_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RunError, match=r"the loss is (nan|inf) at step \d: lower `learning_rate`"):
        train(tmp_path / "bad", replace(SFT, learning_rate=1e30, max_steps=3))
    record = json.loads((tmp_path / "bad" / "training.json").read_text("utf-8"))
    assert record["status"] == "failed" and "the loss is" in record["reason"]
    assert not (tmp_path / "bad" / "adapter_model.safetensors").exists()


def test_without_trl_one_line_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("snql.training.run.find_spec", lambda _: None)
    with pytest.raises(InputError, match=r"training needs trl: pip install 'snql-neurons\[train\]', or in a clone"):
        train(tmp_path / "x", SFT)
    assert not (tmp_path / "x").exists()


def test_another_architecture_trains_and_loads(tmp_path: Path) -> None:
    """GPT-2, whose projections are laid out the other way round, from a file of pairs."""
    folder = save_random(tmp_path / "gpt2", CONFIGS["gpt2"]())
    rows = [{"prompt": f"Say {n}.", "chosen": f"{n}", "rejected": "no"} for n in range(12)]
    (tmp_path / "pairs.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    options = replace(
        DPO,
        model=str(folder),
        data=(str(tmp_path / "pairs.jsonl"),),
        template="plain",
        limit=None,
        batch=12,
        micro_batch=6,
        max_steps=2,
        gradient_checkpointing=True,
    )
    found = train(tmp_path / "out", options)
    assert found.history["reward_margins"][-1] > found.history["reward_margins"][0]
    loaded = load_models({"m": found.model}, CPU)["m"]
    ids = torch.tensor([[1, 50, 60, 70]])
    with loaded.switched_on() as network:
        stacked = network(input_ids=ids).logits
    auto: Any = AutoModelForCausalLM
    plain = auto.from_pretrained(folder).eval()
    tensors = load_file(found.folder / "adapter_model.safetensors")
    for layer, block in enumerate(plain.transformer.h):
        block.mlp.c_proj.weight.data *= tensors[f"base_model.model.transformer.h.{layer}.mlp.c_proj.ia3_l"].reshape(
            -1, 1
        )
    with torch.no_grad():
        torch.testing.assert_close(stacked, plain(input_ids=ids).logits, atol=1e-4, rtol=1e-4)


def test_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """TRL tells its makers of every trainer, unless it runs in CI or the hub's telemetry is off when it asks."""
    from huggingface_hub import constants
    from trl.trainer import base_trainer

    is_off: list[bool] = []
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_TELEMETRY", False)
    monkeypatch.setattr(
        base_trainer, "send_telemetry", lambda *_, **__: is_off.append(constants.HF_HUB_DISABLE_TELEMETRY)
    )
    train(tmp_path / "quiet", replace(SFT, max_steps=1))
    assert is_off == [True]
