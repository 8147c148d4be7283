"""Adapters: loading them into a shared base with PEFT, and proving that they loaded as their files say."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from snql.errors import ModelError
from snql.models.architectures import projection, widths

_PREFIX = "base_model.model."
SUPPORTED = ("IA3", "LORA")

_LOADING_ERRORS = (RuntimeError, ValueError, KeyError, TypeError, AttributeError)


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration; raises ModelError if unreadable or of a kind that is not supported."""
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"adapter {folder} has an unreadable adapter_config.json: {error}") from error
    kind = config.get("peft_type")
    if kind not in SUPPORTED:
        raise ModelError(f"adapter {folder} is of type {kind}: supported types are {', '.join(SUPPORTED)}")
    if config.get("bias", "none") != "none":
        raise ModelError(
            f"adapter {folder} trains biases (bias={config['bias']!r}): PEFT would change those of the base, which "
            "other models share; merge it into a checkpoint first"
        )
    return config


def common_kind(folders: Sequence[Path], spec: str) -> str | None:
    """The type of a stack of adapters, None for an empty one; raises ModelError for a stack of several types."""
    kinds = [str(read_config(folder)["peft_type"]) for folder in folders]
    if len(set(kinds)) > 1:
        raise ModelError(
            f"model spec {spec!r} stacks adapters of types {' and '.join(dict.fromkeys(kinds))}: PEFT keeps one type "
            "on a model; merge one of them into a checkpoint first"
        )
    return kinds[0] if kinds else None


def check_widths(base: nn.Module, folder: Path) -> None:
    """Compare the shapes in the adapter's file with the base's modules, before anything is loaded.

    Raises ModelError naming the first module that the base lacks or that has another width.
    """
    config = read_config(folder)
    feedforward = tuple(config.get("feedforward_modules") or ())
    for key, shape in _shapes(folder).items():
        _check_tensor(base, folder, key.removeprefix(_PREFIX), shape, feedforward)


def _check_tensor(
    base: nn.Module, folder: Path, key: str, shape: tuple[int, ...], feedforward: tuple[str, ...]
) -> None:
    name, mark, part = key.rpartition(".ia3_l") if key.endswith(".ia3_l") else key.partition(".lora_")
    if not mark or "embedding" in part:
        return  # a tensor of another kind, such as one of modules_to_save: PEFT checks its shape
    try:
        module = base.get_submodule(name)
    except AttributeError as error:
        raise ModelError(f"adapter {folder} is for a module {name} that the base does not have") from error
    n_in, n_out = widths(projection(module, f"{name} of the base"))
    if part.startswith("A."):
        found, wanted = shape[-1], n_in
    elif part.startswith(("B.", "magnitude")):
        found, wanted = shape[0], n_out
    else:
        found, wanted = max(shape), n_in if name.endswith(feedforward) else n_out
    if found != wanted:
        raise ModelError(
            f"adapter {folder} has width {found} at {name} where the base has {wanted}: it was made for another model"
        )


def load_adapter(model: PeftModel | nn.Module, folder: Path, name: str) -> PeftModel:
    """Add the adapter under ``name``; the first one wraps the base. Other adapters stay as they are.

    Raises ModelError if PEFT does not load exactly the tensors of the file.
    """
    # A float32 vector on a bfloat16 base must stay float32, and a bfloat16 one must not become float32: either change
    # moves activations, and so change scores.
    autocast = any(tensor.dtype == torch.float32 for tensor in _tensors(folder).values())
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=name, autocast_adapter_dtype=autocast)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name, autocast_adapter_dtype=autocast)
    except _LOADING_ERRORS as error:
        raise ModelError(f"adapter {folder} did not load: {' '.join(str(error).split())[:200]}") from error
    verify_adapter(model, folder, name)
    return model


def verify_adapter(model: PeftModel, folder: Path, name: str) -> None:
    """Compare every adapter tensor in the model with its file; raise ModelError if one differs or is missing.

    Values must be equal exactly: a tensor that was rounded to another number type differs.
    """
    wanted = _tensors(folder)
    loaded = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    if missing := sorted(wanted.keys() ^ loaded.keys()):
        raise ModelError(f"adapter {folder}: tensor {missing[0]} is not in both the file and the loaded model")
    for key, tensor in wanted.items():
        found = loaded[key].detach().cpu()
        if not torch.equal(found.double(), tensor.double().reshape(found.shape)):
            raise ModelError(f"adapter {folder}: tensor {key} differs between the file and the loaded model")


def _tensors(folder: Path) -> dict[str, torch.Tensor]:
    tensors: dict[str, torch.Tensor] = load_file(folder / "adapter_model.safetensors")
    return tensors


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"adapter {folder} has a damaged adapter_model.safetensors: {error}") from error
    if not shapes:
        raise ModelError(f"adapter {folder} holds no tensors: it would change nothing")
    return shapes
