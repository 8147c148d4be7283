"""Loading: adapters really are what their files say, bases are shared, and bad files are named."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from snql.errors import InputError, ModelError
from snql.models import adapters
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.spec import PartSpec, parse_model_spec

from ..conftest import ORACLE, save_ia3, save_tiny_llama

CPU = LoadOptions(device="cpu")
IDS = torch.tensor([[1, 114, 138, 116, 103, 43, 76]])


def logits(model: LoadedModel) -> torch.Tensor:
    with model.switched_on() as network:
        found: torch.Tensor = network(IDS).logits
        return found


def hand_logits(folder: Path, scales: list[torch.Tensor], load: Any) -> torch.Tensor:
    """Hugging Face's model with each down-projection's weight columns rescaled: IA3 by hand."""
    model = load(folder)
    with torch.no_grad():
        for layer, scale in zip(model.model.layers, scales, strict=True):
            layer.mlp.down_proj.weight *= scale
        found: torch.Tensor = model(IDS).logits
    return found


def oracle_scales(name: str) -> list[torch.Tensor]:
    tensors = load_file(ORACLE / name / "adapter_model.safetensors")
    return [tensors[f"base_model.model.model.layers.{i}.mlp.down_proj.ia3_l"][0] for i in range(4)]


def test_stacked_ia3_vectors_multiply(oracle_models: dict[str, LoadedModel], plain_model: Any) -> None:
    sft, dpo = oracle_scales("sft"), oracle_scales("dpo")
    stacked = [a * b for a, b in zip(sft, dpo, strict=True)]
    ones = [torch.ones(176)] * 4
    for name, scales in (("base", ones), ("sft", sft), ("dpo", stacked), ("base", ones)):
        expected = hand_logits(ORACLE / "model", scales, plain_model)
        torch.testing.assert_close(logits(oracle_models[name]), expected, atol=2e-4, rtol=1e-4)


def test_models_of_one_base_share_its_weights(oracle_models: dict[str, LoadedModel]) -> None:
    models = oracle_models.items()
    pointers = {name: model.base.model.get_parameter("model.norm.weight").data_ptr() for name, model in models}
    assert pointers["base"] == pointers["sft"] == pointers["dpo"] != pointers["other"]
    assert len({model.model_id for model in oracle_models.values()}) == 4


def test_a_copy_of_the_base_is_the_same_base(tmp_path: Path) -> None:
    shutil.copytree(ORACLE / "model", tmp_path / "copy")
    found = load_models({"a": str(ORACLE / "model"), "b": f"{tmp_path / 'copy'}+{ORACLE / 'sft'}"}, CPU)
    assert found["a"].base is found["b"].base
    assert found["a"].model_id != found["b"].model_id


@pytest.mark.parametrize("change", ["value", "missing"])
def test_an_adapter_that_loaded_wrong_is_noticed(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "sft"
    shutil.copytree(ORACLE / "sft", folder)
    model = load_models({"m": f"{ORACLE / 'model'}+{folder}"}, CPU)["m"]
    tensors = load_file(folder / "adapter_model.safetensors")
    key = sorted(tensors)[1]
    if change == "value":
        tensors[key][0, 5] += 1e-3
    else:
        tensors["base_model.model.model.layers.9.mlp.down_proj.ia3_l"] = tensors.pop(key)
    save_file(tensors, folder / "adapter_model.safetensors")
    assert model.base.peft is not None
    with pytest.raises(
        ModelError,
        match="differs between the file" if change == "value" else "is in the loaded model, and not in the file",
    ):
        adapters.verify_adapter(model.base.peft, model.base.adapters[model.adapter_names[0]])


def test_specs() -> None:
    assert parse_model_spec("org/base@main+org/ia3@v1+./x").base == PartSpec("org/base", "main")
    assert parse_model_spec("org/base@main+org/ia3@v1+./x").adapters == (PartSpec("org/ia3", "v1"), PartSpec("./x"))
    demo = parse_model_spec("demo:safety")
    assert [Path(part.location).name for part in (demo.base, *demo.adapters)] == ["base", "sft", "safety"]
    assert parse_model_spec("demo:base+demo:safety").adapters[0].location.endswith("safety")
    for text, message in (
        ("a++b", "has an empty part"),
        ("", "has an empty part"),
        ("a@", "is malformed"),
        ("demo:nobody", "no bundled model 'demo:nobody'"),
        ("x+demo:base", "is a base model, not an adapter"),
    ):
        with pytest.raises(InputError, match=message):
            parse_model_spec(text)


def test_bad_models(tmp_path: Path, tiny_llama: Path) -> None:
    def copy(name: str) -> Path:
        return Path(shutil.copytree(tiny_llama, tmp_path / name))

    empty = tmp_path / "empty"
    empty.mkdir()
    pickled = copy("pickled")
    (pickled / "model.safetensors").rename(pickled / "pytorch_model.bin")
    cut = copy("cut")
    (cut / "model.safetensors").write_bytes((tiny_llama / "model.safetensors").read_bytes()[:500])
    lacking = copy("lacking")
    tensors = load_file(lacking / "model.safetensors")
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, lacking / "model.safetensors", {"format": "pt"})
    bert = copy("bert")
    sizes: dict[str, Any] = {
        "hidden_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 8,
        "vocab_size": 260,
    }
    BertForMaskedLM(BertConfig(**sizes)).save_pretrained(bert)
    spoilt = copy("spoilt")
    tensors = load_file(spoilt / "model.safetensors")
    tensors["model.layers.2.mlp.up_proj.weight"][3, 4] = float("nan")
    save_file(tensors, spoilt / "model.safetensors", {"format": "pt"})
    no_tokenizer = copy("mute")
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        (no_tokenizer / name).unlink()
    for spec, message in (
        (str(tmp_path / "nowhere"), "no model folder .*nowhere"),
        ("./nowhere", "no model folder ./nowhere"),
        (str(empty), "has no config.json"),
        (str(pickled), "has no .*safetensors file: snql reads no pickles"),
        (str(cut), "cannot be loaded"),
        (str(lacking), "lacks weights: model.layers.1.mlp.up_proj.weight is in none of its files"),
        (str(bert), r"is an encoder \(BertForMaskedLM\), not a causal language model"),
        (str(spoilt), "weights are finite: logits are not finite: a weight is NaN or inf"),
        (str(no_tokenizer), "has no tokenizer that loads"),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            load_models({"m": spec}, CPU)
        assert "\n" not in str(caught.value)


def test_bad_adapters(tmp_path: Path, tiny_llama: Path) -> None:
    def adapter(name: str, tensors: dict[str, torch.Tensor], **config: Any) -> str:
        folder = tmp_path / name
        folder.mkdir()
        settings = json.loads((ORACLE / "sft" / "adapter_config.json").read_text()) | config
        (folder / "adapter_config.json").write_text(json.dumps(settings))
        save_file(tensors, folder / "adapter_model.safetensors")
        return str(folder)

    key = "base_model.model.model.layers.{}.mlp.down_proj.ia3_l"
    (tmp_path / "bare").mkdir()
    broken = Path(adapter("broken", {key.format(0): torch.ones(1, 40)}))
    (broken / "adapter_model.safetensors").write_bytes(b"x" * 30)
    for folder, message in (
        (str(tmp_path / "nowhere"), "no adapter folder"),
        (str(tmp_path / "bare"), "has no adapter_config.json"),
        (str(ORACLE / "sft"), "has width 176 at .*down_proj where the base has 40: it was made for another model"),
        (adapter("ptune", {key.format(0): torch.ones(1, 40)}, peft_type="P_TUNING"), "is of type P_TUNING: supported"),
        (adapter("other", {"base_model.model.model.h.0.mlp.ia3_l": torch.ones(1, 40)}), "for a module model.h.0.mlp"),
        (adapter("hollow", {}), "holds no tensors"),
        (str(broken), "damaged adapter_model.safetensors"),
    ):
        with pytest.raises(ModelError, match=message):
            load_models({"m": f"{tiny_llama}+{folder}"}, CPU)
    tuned = save_ia3(tmp_path / "fits", [torch.ones(40)] * 3)
    with pytest.raises(ModelError, match="applies the same adapter twice"):
        load_models({"m": f"{tiny_llama}+{tuned}+{tuned}"}, CPU)


def test_models_whose_tokens_mean_different_things(tmp_path: Path, tiny_llama: Path) -> None:
    other = save_tiny_llama(tmp_path / "other", seed=1)
    tokenizer = json.loads((other / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    first, second = sorted(vocabulary, key=vocabulary.get)[10:12]
    vocabulary[first], vocabulary[second] = vocabulary[second], vocabulary[first]
    (other / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(ModelError, match="the tokenizers of before .* and after .* differ"):
        load_models({"before": str(tiny_llama), "after": str(other)}, CPU)
    templated = save_tiny_llama(tmp_path / "templated", seed=1)
    settings = json.loads((templated / "tokenizer_config.json").read_text())
    settings["chat_template"] = "{{ messages[0]['content'] }}"
    (templated / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(ModelError, match="the chat templates of before .* and after .* differ"):
        load_models({"before": str(tiny_llama), "after": str(templated)}, CPU)
    with pytest.raises(ModelError, match="name two revisions of the base org/model: use one revision for both"):
        load_models({"before": "org/model@v1+org/sft", "after": "org/model@v2+org/sft"}, CPU)
    wider = save_tiny_llama(tmp_path / "wider", n_neurons=48)
    with pytest.raises(ModelError, match="different shapes"):
        load_models({"before": str(tiny_llama), "after": str(wider)}, CPU)


def test_devices_and_types(tiny_llama: Path) -> None:
    half = load_models({"m": str(tiny_llama)}, LoadOptions(dtype="bfloat16", device="cpu"))["m"]
    assert half.base.dtype_name == "bfloat16"
    for options, message in (
        (LoadOptions(dtype="int4"), "`dtype` 'int4' is not known"),
        (LoadOptions(device="gpu"), "`device` 'gpu' is not a device"),
    ):
        with pytest.raises(InputError, match=message):
            load_models({"m": str(tiny_llama)}, options)


def test_ways_of_loading_give_the_same_model(tiny_llama: Path) -> None:
    plain = logits(load_models({"m": str(tiny_llama)}, CPU)["m"])
    for options in (
        LoadOptions(device="cpu", attn_implementation="eager"),
        LoadOptions(device="cpu", device_map="cpu"),
        LoadOptions(device="cpu", dtype="float32"),
    ):
        torch.testing.assert_close(
            logits(load_models({"m": str(tiny_llama)}, options)["m"]), plain, atol=1e-5, rtol=1e-5
        )
    eager = load_models({"m": str(tiny_llama)}, LoadOptions(device="cpu", attn_implementation="eager"))["m"]
    assert eager.base.model.config._attn_implementation == "eager"
    for options, message in (
        (LoadOptions(device="cpu", attn_implementation="magic"), "cannot be loaded: .*magic"),
        (LoadOptions(device="cpu", quantize="2bit"), "`quantize` '2bit' is not known: use 8bit or 4bit"),
    ):
        with pytest.raises(InputError, match=message):
            load_models({"m": str(tiny_llama)}, options)


@pytest.mark.parametrize("quantize", ["8bit", "4bit"])
def test_quantized_models_are_sound(quantize: str) -> None:
    pytest.importorskip("bitsandbytes")
    model = load_models({"m": "demo:sft"}, LoadOptions(quantize=quantize))["m"]
    assert all(check.ok for check in model.base.checks)
    assert not torch.is_floating_point(next(iter(model.sites[0].reader.parameters())))


@pytest.mark.skipif(find_spec("bitsandbytes") is not None, reason="bitsandbytes is installed")
def test_quantizing_names_the_package_it_needs(tiny_llama: Path) -> None:
    with pytest.raises(InputError, match=r"`quantize` 4bit needs bitsandbytes: pip install 'snql-neurons\[quantize\]'"):
        load_models({"m": str(tiny_llama)}, LoadOptions(device="cpu", quantize="4bit"))
