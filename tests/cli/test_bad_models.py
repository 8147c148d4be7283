"""Models and adapters that cannot be used: one line that says why, exit code 2, nothing written."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForMaskedLM

from ..conftest import ORACLE, save_ia3
from .conftest import Snql


def without_config(folder: Path) -> None:
    (folder / "config.json").unlink()


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def truncated(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:2000])


def with_nan(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.0.mlp.gate_proj.weight"][0, 0] = float("nan")
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def encoder(folder: Path) -> None:
    sizes: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 260}
    BertForMaskedLM(BertConfig(**sizes, intermediate_size=8)).save_pretrained(folder)


def other_width(folder: Path) -> None:
    """The config promises more neurons than the weights have."""
    config = json.loads((folder / "config.json").read_text())
    config["intermediate_size"] += 8
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without_config, "has no config.json: name a folder that a model was saved in"),
        (pickled, "has no *.safetensors file: snql reads no pickles"),
        (truncated, "cannot be loaded"),
        (with_nan, "weights are finite: logits are not finite"),
        (encoder, "is an encoder (BertForMaskedLM), not a causal language model"),
        (other_width, "cannot be loaded"),
    ],
)
def test_models(snql: Snql, tmp_path: Path, tiny_llama: Path, spoil: Callable[[Path], None], message: str) -> None:
    folder = Path(shutil.copytree(tiny_llama, tmp_path / "model"))
    spoil(folder)
    for arguments in (
        ["locate", "x", "--before", "model", "--after", "demo:sft", "--prompts", "demo:harmful"],
        ["doctor", "model"],
    ):
        done = snql("-q", *arguments)
        if arguments[0] == "doctor" and spoil is with_nan:
            assert done.code == 1  # doctor shows the check that fails instead of refusing the model
            continue
        lines = done.err.splitlines()
        assert (done.code, len(lines), done.out) == (2, 1, ""), done.err
        assert message in lines[0]
        assert lines[0].startswith("snql: model ")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_adapters(snql: Snql, tmp_path: Path, tiny_llama: Path) -> None:
    save_ia3(tmp_path / "wide", [torch.ones(48)] * 3)
    save_ia3(tmp_path / "deep", [torch.ones(40)] * 5)
    cut = save_ia3(tmp_path / "cut", [torch.ones(40)] * 3) / "adapter_model.safetensors"
    cut.write_bytes(cut.read_bytes()[:100])
    shutil.copytree(ORACLE / "sft", tmp_path / "attention")
    key = "base_model.model.encoder.layer.0.attention.self.key.ia3_l"
    save_file({key: torch.ones(1, 40)}, tmp_path / "attention" / "adapter_model.safetensors")
    for name, message in (
        ("wide", "adapter wide has width 48 at model.layers.0.mlp.down_proj where the base has 40"),
        ("deep", "adapter deep is for a module model.layers.3.mlp.down_proj that the base does not have"),
        ("cut", "adapter cut has a damaged adapter_model.safetensors"),
        ("attention", "adapter attention is for a module encoder.layer.0.attention.self.key"),
        ("./none", "no adapter folder ./none: check the path"),
    ):
        done = snql("-q", "doctor", f"{tiny_llama}+{name}")
        assert (done.code, len(done.err.splitlines())) == (2, 1), done.err
        assert message in done.err
