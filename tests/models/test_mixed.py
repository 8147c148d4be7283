"""Rows of two models with different adapters in one batch, against PEFT's own computation of each."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from snql.models.load import load_models
from snql.models.mixed import can_mix
from snql.models.options import LoadOptions
from snql.patching.interventions import SOURCE, TARGET, FromSource
from snql.patching.passes import ModelPass, Rows

from ..patched import PatchRow, patch_and_generate
from ..patching.by_hand import random_sets

ADAPTERS: dict[str, Any] = {
    "lora": LoraConfig(r=4, lora_alpha=8, target_modules=["down_proj", "q_proj", "up_proj"], init_lora_weights=False),
    "lora-other": LoraConfig(r=2, lora_alpha=8, target_modules=["down_proj", "v_proj"], init_lora_weights=False),
    "ia3": IA3Config(target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "ia3-mlp": IA3Config(target_modules=["up_proj", "down_proj"], feedforward_modules=["down_proj"]),
    "saved": LoraConfig(r=2, target_modules=["up_proj"], init_lora_weights=False, modules_to_save=["lm_head"]),
    "dora": LoraConfig(r=4, target_modules=["down_proj"], init_lora_weights=False, use_dora=True),
}


@pytest.fixture(scope="module")
def adapted(tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("adapters")
    for name, config in ADAPTERS.items():
        torch.manual_seed(len(name))
        model: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(tiny_llama), config)
        with torch.no_grad():
            for key, parameter in model.named_parameters():
                if "ia3_l" in key:
                    parameter.copy_(1 + 0.5 * torch.randn_like(parameter))
                elif "lora_" in key and "magnitude" not in key:
                    parameter.mul_(2)
        model.save_pretrained(folder / name)
    return {name: folder / name for name in ADAPTERS}


@pytest.mark.parametrize(
    ("left", "right", "mixes"),
    [
        (("lora",), (), True),
        (("lora",), ("lora-other",), True),
        (("lora",), ("lora", "lora-other"), True),
        ((), ("ia3",), True),
        (("ia3",), ("ia3-mlp",), True),
        (("ia3-mlp", "ia3"), ("ia3-mlp",), True),
        (("dora",), (), False),
    ],
    ids=str,
)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_adapters_in_one_batch(
    tiny_llama: Path, adapted: dict[str, Path], left: tuple[str, ...], right: tuple[str, ...], mixes: bool, dtype: str
) -> None:
    """Logits of rows of two models in one batch are those of each model by itself, as PEFT computes them."""
    specs = {
        name: "+".join([str(tiny_llama), *(str(adapted[part]) for part in parts)])
        for name, parts in (("source", left), ("target", right))
    }
    models = load_models(specs, LoadOptions(device="cpu", dtype=dtype))
    source, target = models["source"], models["target"]
    assert can_mix([source, target]) == mixes
    assert source.base is target.base
    both = ModelPass(target, source, [], FromSource())
    assert both.fused == mixes
    shape = source.shape
    prompts = [(1, 40, 50, 60), (1, 70, 80)]
    rows = [PatchRow(ids, neurons) for ids in prompts for neurons in random_sets(3, (0, 30, shape.size), shape)]
    if dtype == "float32":
        fused = patch_and_generate(target, source, rows, 8)
        assert fused == patch_and_generate(target, source, rows, 8, fuse=False)
    if not mixes:
        return
    plan = [Rows([SOURCE, TARGET, SOURCE, TARGET], [None] * 4)]
    with torch.inference_mode(), both.applied():
        (fresh,) = both.read([[prompts[0], prompts[0], prompts[1], prompts[1]]], plan)
    assert fresh is not None
    for row, (model, ids) in enumerate((m, p) for p in prompts for m in (source, target)):
        with model.switched_on() as network:
            expected = network(torch.tensor([ids])).logits[0, -1]
        tolerance = 2e-5 if dtype == "float32" else 0.05
        torch.testing.assert_close(fresh.logits[row, -1], expected, atol=tolerance * 20, rtol=tolerance)


def test_a_module_of_an_adapters_own_is_in_no_batch_with_others(tiny_llama: Path, adapted: dict[str, Path]) -> None:
    specs = {"own": f"{tiny_llama}+{adapted['saved']}", "plain": str(tiny_llama)}
    models = load_models(specs, LoadOptions(device="cpu", dtype="float32"))
    assert not can_mix([models["own"], models["plain"]])
    assert can_mix([models["plain"], models["plain"]]), "no adapter is on"
