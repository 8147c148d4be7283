"""Folders of models, tokenizers and adapters with files of the wrong shape: one line, whatever is wrong."""

import json
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..conftest import ORACLE

BASE, SFT = ORACLE / "model", ORACLE / "sft"
WRONG: tuple[Any, ...] = (0, -1, 10**12, 1e308, "abc", "", None, [], {}, [1], True, "x/kernel", "\ud800")
FIELDS = (
    "hidden_size",
    "num_attention_heads",
    "num_key_value_heads",
    "num_hidden_layers",
    "intermediate_size",
    "vocab_size",
    "architectures",
    "model_type",
    "pad_token_id",
    "eos_token_id",
    "bos_token_id",
    "rms_norm_eps",
    "hidden_act",
    "max_position_embeddings",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "tie_word_embeddings",
    "dtype",
    "torch_dtype",
    "attn_implementation",
    "_attn_implementation",
    "head_dim",
    "quantization_config",
    "auto_map",
    "attention_bias",
    "mlp_bias",
    "use_cache",
    "initializer_range",
    "transformers_version",
)
ADAPTER_FIELDS = (
    *("peft_type", "target_modules", "feedforward_modules", "r", "lora_alpha", "modules_to_save", "task_type"),
    *("base_model_name_or_path", "layers_to_transform", "rank_pattern", "use_rslora"),
)
DEEP = ("[" * 100_000, '{"a":' * 5_000 + "1" + "}" * 5_000)
JSONS = ("[]", "0", "null", '"x"', "{", "", "\x00", *DEEP, "\ufeff{}", "é" * 10)
HEADERS = (
    b"",
    b"\x00" * 7,
    struct.pack("<Q", 2**63),
    struct.pack("<Q", 10) + b"{",
    struct.pack("<Q", 2) + b"[]",
    struct.pack("<Q", 2) + b"{}",
    b"\xff" * 100,
)


def copied(source: Path, to: Path) -> Path:
    shutil.copytree(source, to)
    return to


def _models(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Specs with what is wrong with them."""
    for field in FIELDS:
        for number, value in enumerate(WRONG):
            folder = copied(BASE, tmp_path / f"{field}{number}")
            config = json.loads((BASE / "config.json").read_text("utf-8"))
            (folder / "config.json").write_text(json.dumps(config | {field: value}), "utf-8")
            yield f"{field} = {value!r}", str(folder)
    for name in ("config.json", "tokenizer_config.json", "generation_config.json", "tokenizer.json"):
        for number, text in enumerate(JSONS):
            folder = copied(BASE, tmp_path / f"{name}{number}")
            (folder / name).write_text(text, "utf-8")
            yield f"{name}: {text[:20]!r}", str(folder)
    for number, header in enumerate(HEADERS):
        folder = copied(BASE, tmp_path / f"weights{number}")
        (folder / "model.safetensors").write_bytes(header)
        yield f"weights {header[:10]!r}", str(folder)


def _adapters(tmp_path: Path) -> Iterator[tuple[str, str]]:
    for field in ADAPTER_FIELDS:
        for number, value in enumerate(WRONG):
            folder = copied(SFT, tmp_path / f"a-{field}{number}")
            config = json.loads((SFT / "adapter_config.json").read_text("utf-8"))
            (folder / "adapter_config.json").write_text(json.dumps(config | {field: value}), "utf-8")
            yield f"{field} = {value!r}", f"{BASE}+{folder}"
    for number, text in enumerate(JSONS):
        folder = copied(SFT, tmp_path / f"a-config{number}")
        (folder / "adapter_config.json").write_text(text, "utf-8")
        yield f"adapter_config.json: {text[:20]!r}", f"{BASE}+{folder}"
    for number, header in enumerate(HEADERS):
        folder = copied(SFT, tmp_path / f"a-weights{number}")
        (folder / "adapter_model.safetensors").write_bytes(header)
        yield f"adapter weights {header[:10]!r}", f"{BASE}+{folder}"


@pytest.mark.parametrize("kind", [_models, _adapters], ids=["models", "adapters"])
@pytest.mark.parametrize("every", [13, pytest.param(1, marks=pytest.mark.slow("all of them"))])
def test_whatever_a_folder_holds_is_read_or_refused_in_one_line(
    kind: Any,
    every: int,
    snql: Snql,  # noqa: F811
    tmp_path: Path,
) -> None:
    """All of them, and of the many every thirteenth in the normal run: 600 loads take minutes."""
    failed = []
    for number, (what, spec) in enumerate(kind(tmp_path / "folders")):
        if number % every:
            continue
        try:
            done = snql("--quiet", "doctor", spec)
        except BaseException as error:  # noqa: BLE001 - of whatever kind
            failed.append(f"{what}: {type(error).__name__}: {str(error)[:100]}")
            continue
        said = [line for line in done.err.splitlines() if line.startswith("snql: ")]
        if done.code not in (0, 1, 2) or (done.code == 2 and len(said) != 1) or any(len(line) > 520 for line in said):
            failed.append(f"{what}: {done.code} {done.err[:200]!r}")
    assert not failed, f"{len(failed)}:\n" + "\n".join(failed)
