"""LoRA, rsLoRA, DoRA and IA3: what snql loads equals PEFT alone, and weights merged by hand."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from snql.contrast.positions import Text
from snql.contrast.read import contrast_sums
from snql.errors import ModelError
from snql.generation.decode import generate
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet, Shape

from ..conftest import TOKENIZER_FILES, save_tiny_llama
from ..patched import PatchRow, patch_and_generate

CPU = LoadOptions(device="cpu")
IDS = torch.tensor([[1, 114, 138, 116, 103, 43, 76]])
TARGETS = ["q_proj", "up_proj", "down_proj"]
KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True},
    "dora": {"use_dora": True},
    "attention": {"target_modules": ["q_proj", "v_proj"]},
}


def plain(folder: Path) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def save_lora(llama: Path, folder: Path, seed: int = 0, **settings: Any) -> Path:
    torch.manual_seed(seed)
    chosen = {"r": 4, "lora_alpha": 12, "target_modules": TARGETS, "init_lora_weights": False, "task_type": "CAUSAL_LM"}
    model = get_peft_model(plain(llama), LoraConfig(**{**chosen, **settings}))
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                parameter.copy_(torch.randn_like(parameter).abs() + 0.5 if "magnitude" in name else parameter * 2)
    model.save_pretrained(str(folder))
    return folder


@pytest.fixture(scope="module", params=sorted(KINDS))
def lora(request: pytest.FixtureRequest, tiny_llama: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder: Path = tmp_path_factory.mktemp("lora") / request.param
    return save_lora(tiny_llama, folder, **KINDS[request.param])


def logits(model: LoadedModel) -> torch.Tensor:
    with model.switched_on() as network:
        found: torch.Tensor = network(IDS).logits
        return found


def merged_by_hand(llama: Path, adapter: Path) -> Any:
    """The base with its weights replaced by what the adapter makes of them: the formulas of LoRA, rsLoRA and DoRA."""
    model, config = plain(llama), json.loads((adapter / "adapter_config.json").read_text())
    rank = config["r"]
    scale = config["lora_alpha"] / (math.sqrt(rank) if config["use_rslora"] else rank)
    tensors = load_file(adapter / "adapter_model.safetensors")
    prefix = "base_model.model."
    names = {key.removeprefix(prefix).partition(".lora_")[0] for key in tensors}
    with torch.no_grad():
        for name in names:
            low, high = (tensors[f"{prefix}{name}.lora_{part}.weight"] for part in "AB")
            weight = model.get_submodule(name).weight
            weight += scale * high @ low
            if config["use_dora"]:
                magnitude = tensors[f"{prefix}{name}.lora_magnitude_vector"]
                weight *= (magnitude / weight.norm(dim=1))[:, None]
    return model


def test_an_adapter_equals_weights_merged_by_hand(tiny_llama: Path, lora: Path) -> None:
    model = load_models({"m": f"{tiny_llama}+{lora}"}, CPU)["m"]
    with torch.no_grad():
        expected = merged_by_hand(tiny_llama, lora)(IDS).logits
        unchanged = plain(tiny_llama)(IDS).logits
    torch.testing.assert_close(logits(model), expected, atol=2e-3, rtol=1e-3)
    assert not torch.allclose(expected, unchanged, atol=0.1)


def test_neurons_are_those_of_the_merged_model(tiny_llama: Path, lora: Path, tmp_path: Path) -> None:
    """Reading and patching through an adapter equals reading and patching the merged checkpoint."""
    merged_by_hand(tiny_llama, lora).save_pretrained(tmp_path / "merged")
    for name in TOKENIZER_FILES:
        shutil.copy(tiny_llama / name, tmp_path / "merged" / name)
    specs = {"base": str(tiny_llama), "adapted": f"{tiny_llama}+{lora}", "merged": str(tmp_path / "merged")}
    models = load_models(specs, CPU)
    base, adapted, merged = models["base"], models["adapted"], models["merged"]
    assert base.base is adapted.base is not merged.base
    texts = [Text(0, tuple(IDS[0].tolist()), tuple(range(7)))]
    by_adapter, by_merged = (
        contrast_sums(base, other, [texts]).statistics().change_scores for other in (adapted, merged)
    )
    np.testing.assert_allclose(by_adapter, by_merged, atol=1e-3, rtol=1e-3)

    shape = Shape(3, 40)
    chosen = NeuronSet.from_ids(shape, np.random.default_rng(0).choice(120, size=50, replace=False))
    row = [PatchRow((1, 114, 138, 43), chosen), PatchRow((1, 76), chosen)]
    prompts = [list(patched.input_ids) for patched in row]
    for left, right in (((adapted, base), (merged, base)), ((base, adapted), (base, merged))):
        found = patch_and_generate(*left, row, 12)
        assert found == patch_and_generate(*right, row, 12)
        assert found != generate(left[0], prompts, 12)


def test_a_stack_of_lora_adapters_is_the_sum_of_their_changes(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = (save_lora(tiny_llama, tmp_path / name, seed) for seed, name in enumerate(("first", "second")))
    stacked = load_models({"m": f"{tiny_llama}+{first}+{second}"}, CPU)["m"]
    model = plain(tiny_llama)
    with torch.no_grad():
        for folder in (first, second):
            changed = merged_by_hand(tiny_llama, folder)
            original = plain(tiny_llama)
            for (_, mine), (_, new), (_, old) in zip(
                model.named_parameters(), changed.named_parameters(), original.named_parameters(), strict=True
            ):
                mine += new - old
        expected = model(IDS).logits
    torch.testing.assert_close(logits(stacked), expected, atol=5e-3, rtol=1e-3)


def test_models_do_not_leak_into_each_other(tiny_llama: Path, tmp_path: Path) -> None:
    first, second = (save_lora(tiny_llama, tmp_path / name, seed) for seed, name in enumerate(("first", "second")))
    specs = {
        "base": str(tiny_llama),
        "first": f"{tiny_llama}+{first}",
        "second": f"{tiny_llama}+{second}",
        "both": f"{tiny_llama}+{first}+{second}",
    }
    together = load_models(specs, CPU)
    assert len({id(model.base) for model in together.values()}) == 1
    alone = {name: logits(load_models({"m": spec}, CPU)["m"]) for name, spec in specs.items()}
    for name in ("both", "first", "base", "second", "base", "both"):
        assert torch.equal(logits(together[name]), alone[name]), name

    def fail() -> None:
        with together["first"].switched_on():
            raise ValueError("stop")

    with pytest.raises(ValueError, match="stop"):
        fail()
    assert torch.equal(logits(together["base"]), alone["base"])


def test_types_of_adapters_on_one_base_get_a_copy_each(tiny_llama: Path, tiny_adapter: Path, tmp_path: Path) -> None:
    lora = save_lora(tiny_llama, tmp_path / "lora")
    models = load_models({"ia3": f"{tiny_llama}+{tiny_adapter}", "lora": f"{tiny_llama}+{lora}"}, CPU)
    assert models["ia3"].base is not models["lora"].base
    for name, spec in (("ia3", f"{tiny_llama}+{tiny_adapter}"), ("lora", f"{tiny_llama}+{lora}")):
        assert torch.equal(logits(models[name]), logits(load_models({"m": spec}, CPU)["m"]))
    with pytest.raises(ModelError, match="stacks adapters of types IA3 and LORA"):
        load_models({"m": f"{tiny_llama}+{tiny_adapter}+{lora}"}, CPU)


@pytest.mark.parametrize("file_dtype", [torch.float32, torch.bfloat16])
def test_adapter_values_keep_their_precision_on_a_bfloat16_base(
    tiny_llama: Path, tiny_adapter: Path, tmp_path: Path, file_dtype: torch.dtype
) -> None:
    folder = Path(shutil.copytree(tiny_adapter, tmp_path / "adapter"))
    tensors = {key: t.to(file_dtype) for key, t in load_file(folder / "adapter_model.safetensors").items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    half = LoadOptions(dtype="bfloat16", device="cpu")
    model = load_models({"m": f"{tiny_llama}+{folder}"}, half)["m"]
    wrapper = model.base.model.get_submodule("model.layers.0.mlp.down_proj")
    vector = wrapper.ia3_l[model.adapter_names[0]]  # type: ignore[index]
    assert vector.dtype == file_dtype
    key = "base_model.model.model.layers.0.mlp.down_proj.ia3_l"
    assert torch.equal(vector.detach().reshape(-1), tensors[key].reshape(-1))


def test_ia3_on_attention_and_feedforward_equals_peft_alone(tiny_llama: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    config = IA3Config(
        target_modules=["k_proj", "v_proj", "down_proj"], feedforward_modules=["down_proj"], task_type="CAUSAL_LM"
    )
    tuned = get_peft_model(plain(tiny_llama), config)
    with torch.no_grad():
        for name, parameter in tuned.named_parameters():
            if "ia3_l" in name:
                parameter.copy_(1 + 0.5 * torch.randn_like(parameter))
    tuned.save_pretrained(str(tmp_path / "ia3"))
    with torch.no_grad():
        expected = PeftModel.from_pretrained(plain(tiny_llama), str(tmp_path / "ia3")).eval()(IDS).logits
    model = load_models({"m": f"{tiny_llama}+{tmp_path / 'ia3'}"}, CPU)["m"]
    torch.testing.assert_close(logits(model), expected, atol=1e-4, rtol=1e-4)


def test_lora_of_another_model(tiny_llama: Path, tmp_path: Path) -> None:
    wider = save_tiny_llama(tmp_path / "wider", n_neurons=48)
    lora = save_lora(wider, tmp_path / "lora")
    with pytest.raises(ModelError, match=r"has width 48 at model.layers.0.mlp.\w+ where the base has 40"):
        load_models({"m": f"{tiny_llama}+{lora}"}, CPU)


def test_modules_to_save_are_each_models_own(tiny_llama: Path, tmp_path: Path) -> None:
    folder = save_lora(tiny_llama, tmp_path / "head", modules_to_save=["lm_head"])
    tensors = load_file(folder / "adapter_model.safetensors")
    (key,) = [key for key in tensors if "lm_head" in key]
    tensors[key] = tensors[key] * 1.5
    save_file(tensors, folder / "adapter_model.safetensors", {"format": "pt"})
    models = load_models({"base": str(tiny_llama), "head": f"{tiny_llama}+{folder}"}, CPU)
    with torch.no_grad():
        expected = PeftModel.from_pretrained(plain(tiny_llama), str(folder)).eval()(IDS).logits
        unchanged = plain(tiny_llama)(IDS).logits
    for _ in range(2):
        torch.testing.assert_close(logits(models["head"]), expected, atol=1e-3, rtol=1e-4)
        torch.testing.assert_close(logits(models["base"]), unchanged, atol=1e-5, rtol=1e-5)
    half = LoadOptions(device="cpu", dtype="bfloat16")
    with pytest.raises(
        ModelError, match="has float32 numbers, which the model rounds to bfloat16: use `dtype` float32"
    ):
        load_models({"head": f"{tiny_llama}+{folder}"}, half)


def test_an_adapter_that_trains_biases_is_refused(tiny_llama: Path, tmp_path: Path) -> None:
    folder = save_lora(tiny_llama, tmp_path / "biased", bias="lora_only")
    with pytest.raises(ModelError, match='bias="lora_only", which snql cannot run: PEFT would change the biases of'):
        load_models({"m": f"{tiny_llama}+{folder}"}, CPU)
