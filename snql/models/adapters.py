"""Adapters: loading them into a shared base with PEFT, and proving that they loaded as their files say."""

import json
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn

from snql.errors import ModelError

_PREFIX = "base_model.model."
SUPPORTED = ("IA3",)


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter's configuration; raises ModelError if unreadable or of a kind that is not supported."""
    try:
        config: dict[str, Any] = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    except (ValueError, UnicodeDecodeError) as error:
        raise ModelError(f"adapter {folder} has an unreadable adapter_config.json: {error}") from error
    kind = config.get("peft_type")
    if kind not in SUPPORTED:
        raise ModelError(f"adapter {folder} is of type {kind}: supported types are {', '.join(SUPPORTED)}")
    return config


def check_widths(base: nn.Module, folder: Path) -> None:
    """Compare the shapes in the adapter's file with the base's modules, before anything is loaded.

    Raises ModelError naming the first module that the base lacks or that has another width.
    """
    config = read_config(folder)
    feedforward = tuple(config.get("feedforward_modules") or ())
    for key, shape in _shapes(folder).items():
        name = key.removeprefix(_PREFIX).rsplit(".", 1)[0]
        try:
            module = base.get_submodule(name)
        except AttributeError as error:
            raise ModelError(f"adapter {folder} is for a module {name} that the base does not have") from error
        linear = getattr(module, "base_layer", module)
        width = linear.in_features if name.endswith(feedforward) else linear.out_features
        if width not in shape:
            raise ModelError(
                f"adapter {folder} has width {max(shape)} at {name} where the base has {width}: "
                "it was made for another model"
            )


def load_adapter(model: PeftModel | nn.Module, folder: Path, name: str) -> PeftModel:
    """Add the adapter under ``name``; the first one wraps the base. Other adapters stay as they are.

    Raises ModelError if PEFT does not load exactly the tensors of the file.
    """
    try:
        if isinstance(model, PeftModel):
            model.load_adapter(str(folder), adapter_name=name)
        else:
            model = PeftModel.from_pretrained(model, str(folder), adapter_name=name)
    except (RuntimeError, ValueError, KeyError) as error:
        raise ModelError(f"adapter {folder} did not load: {' '.join(str(error).split())[:200]}") from error
    verify_adapter(model, folder, name)
    return model


def verify_adapter(model: PeftModel, folder: Path, name: str) -> None:
    """Compare every adapter tensor in the model with its file; raise ModelError if one differs or is missing."""
    wanted = load_file(folder / "adapter_model.safetensors")
    loaded = get_peft_model_state_dict(model, adapter_name=name, save_embedding_layers=False)
    if missing := sorted(wanted.keys() ^ loaded.keys()):
        raise ModelError(f"adapter {folder}: tensor {missing[0]} is not in both the file and the loaded model")
    for key, tensor in wanted.items():
        found = loaded[key].detach().cpu()
        if not torch.equal(found, tensor.to(found.dtype).reshape(found.shape)):
            raise ModelError(f"adapter {folder}: tensor {key} differs between the file and the loaded model")


def _shapes(folder: Path) -> dict[str, tuple[int, ...]]:
    try:
        with safe_open(folder / "adapter_model.safetensors", framework="pt") as file:
            shapes = {key: tuple(file.get_slice(key).get_shape()) for key in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ModelError(f"adapter {folder} has a damaged adapter_model.safetensors: {error}") from error
    if not shapes:
        raise ModelError(f"adapter {folder} holds no tensors: it would change nothing")
    return shapes
