"""A tiny build: the same code as the full one, with small sizes."""

from __future__ import annotations

import hashlib
import json
import runpy
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from snql.organism.bundled import PREFERENCE_DATA, SFT_DATA, judge_names, model_names, prompt_names
from snql.organism.factory.build import SCALES, alignment, build

Tiny = tuple[Path, dict[str, Any]]


def test_a_build_writes_the_documented_layout(tiny: Tiny) -> None:
    out, manifest = tiny
    expected = {f"base/{name}" for name in ("config.json", "generation_config.json", "model.safetensors")}
    expected |= {f"{folder}/tokenizer.json" for folder in ("base", "judges/cost", "judges/reward")}
    expected |= {f"{folder}/tokenizer_config.json" for folder in ("base", "judges/cost", "judges/reward")}
    for name in model_names()[1:]:
        expected |= {f"adapters/{name}/adapter_config.json", f"adapters/{name}/adapter_model.safetensors"}
    for name in judge_names():
        expected |= {f"judges/{name}/config.json", f"judges/{name}/model.safetensors"}
    expected |= {f"prompts/{name}.jsonl" for name in prompt_names()}
    expected |= {f"training/{name}.jsonl.gz" for name in (*SFT_DATA, *PREFERENCE_DATA)}
    assert set(manifest["sha256"]) == expected
    assert {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()} == expected | {"manifest.json"}


def test_the_manifest_describes_the_files(tiny: Tiny) -> None:
    out, manifest = tiny
    assert json.loads((out / "manifest.json").read_text()) == json.loads(json.dumps(manifest))
    assert manifest["seed"] == 3
    for name, digest in manifest["sha256"].items():
        assert hashlib.sha256((out / name).read_bytes()).hexdigest() == digest
    assert set(manifest["quality"]["models"]) == set(model_names())
    assert set(manifest["quality"]["safety_seeds"]) == {str(s) for s in SCALES["tiny"].safety_seeds}
    known = {*model_names(), *judge_names(), *prompt_names()}
    assert known <= set(manifest["about"])


def test_the_shipped_seeds_are_the_best_aligned(tiny: Tiny) -> None:
    quality = tiny[1]["quality"]
    seeds = quality["safety_seeds"]
    shipped = list(quality["shipped_safety_seeds"].values())
    assert len(set(shipped)) == 3
    order = [seeds[str(seed)]["alignment"] for seed in shipped]
    assert order == sorted((seed["alignment"] for seed in seeds.values()), reverse=True)[:3]


def test_alignment_counts_refusals_by_hand() -> None:
    refusing = {"harmful": 1.0, "harmful-rephrased": 0.8, "harmful-new-families": 0.6, "harmful-wrapped": 0.4}
    rates = {name: {"refuses": rate} for name, rate in {**refusing, "benign": 0.1, "benign-edgy": 0.3}.items()}
    assert alignment(rates) == pytest.approx(0.7 - 0.2)


@pytest.mark.slow("what a build writes, and training with one seed, are tested by themselves")
def test_the_same_seed_gives_the_same_files(tiny: Tiny, tmp_path: Path) -> None:
    again = build(tmp_path, seed=3, scale="tiny")
    assert again["sha256"] == tiny[1]["sha256"]
    assert again["quality"] == tiny[1]["quality"]


def test_no_file_names_this_machine(tiny: Tiny) -> None:
    for path in tiny[0].rglob("*"):
        if path.is_file():
            assert str(tiny[0]).encode() not in path.read_bytes(), path


def test_a_stack_loads_through_peft_and_multiplies(tiny: Tiny) -> None:
    """sft and safety through PEFT equal the base with weights multiplied by hand: W (s * a) = (W s) a."""
    out, _ = tiny
    ids = torch.tensor([[1, 4, 20, 30, 40, 50]])
    stacked = PeftModel.from_pretrained(
        AutoModelForCausalLM.from_pretrained(out / "base"), str(out / "adapters/sft"), adapter_name="sft"
    )
    stacked.load_adapter(str(out / "adapters/safety"), adapter_name="safety")
    cast(Any, stacked.base_model).set_adapter(["sft", "safety"], inference_mode=True)
    by_hand = folded(out, "sft", "safety")
    only_sft = folded(out, "sft")
    with torch.no_grad():
        logits = stacked(input_ids=ids).logits
        assert torch.allclose(logits, by_hand(input_ids=ids).logits, atol=1e-5)
        assert not torch.allclose(logits, only_sft(input_ids=ids).logits, atol=1e-4)


def folded(out: Path, *adapters: str) -> Any:
    """The base with the adapters' vectors multiplied into the columns of its down-projections."""
    from safetensors.torch import load_file

    model = AutoModelForCausalLM.from_pretrained(out / "base")
    for adapter in adapters:
        tensors = load_file(out / "adapters" / adapter / "adapter_model.safetensors")
        for i, layer in enumerate(model.model.layers):
            vector = tensors[f"base_model.model.model.layers.{i}.mlp.down_proj.ia3_l"]
            layer.mlp.down_proj.weight.data *= vector
    return model


def test_judges_load_as_classifiers_with_one_output(tiny: Tiny) -> None:
    for name in judge_names():
        judge = AutoModelForSequenceClassification.from_pretrained(tiny[0] / "judges" / name)
        assert judge.config.num_labels == 1 and judge.config.pad_token_id == 0
        assert judge(input_ids=torch.tensor([[1, 4, 20, 2]])).logits.shape == (1, 1)


def test_the_command_shows_its_options(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """As ``python -m`` runs it, in this process: a new one takes seconds to import what builds."""
    monkeypatch.setattr(sys, "argv", ["factory", "--help"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("snql.organism.factory", run_name="__main__")
    assert not ended.value.code
    shown = capsys.readouterr().out
    assert all(option in shown for option in ("--out", "--seed", "--scale"))
