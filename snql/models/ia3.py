"""IA3 vectors on the down-projections, in PEFT's files: an entry multiplies one neuron's activation."""

import json
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import IA3Config, PeftConfig
from safetensors.torch import save_file
from torch import nn
from transformers.pytorch_utils import Conv1D

from snql.errors import InputError
from snql.models.architectures import Architecture
from snql.models.loaded import LoadedModel
from snql.models.sites import DenseSite
from snql.neurons.sets import NeuronSet

WEIGHTS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def target_modules(model: nn.Module, architecture: Architecture, wanted: str | None) -> tuple[str, ...]:
    """What PEFT is told to rescale so that it rescales the input of down-projections and nothing else.

    One ending of names where that names them alone, else all of their names. Raises InputError for a mixture of
    experts, or a ``wanted`` ending that is not the down-projection's.
    """
    if architecture.experts is not None:
        raise InputError("the experts of a mixture are one tensor, which IA3 cannot rescale: use a dense model")
    names = set(module_names(model, architecture))
    ending = wanted or architecture.down
    found = {name for name, _ in model.named_modules() if name == ending or name.endswith(f".{ending}")}
    if found == names:
        return (ending,)
    if wanted is not None:
        raise InputError(
            f"`target` {wanted!r} is not the down-projection of this model: leave it out, or use "
            f"{architecture.down!r}; neurons are what that module reads"
        )
    return tuple(sorted(names))


def module_names(model: nn.Module, architecture: Architecture) -> tuple[str, ...]:
    """The down-projection of each layer, by its name in the model."""
    n_layers = len(model.get_submodule(architecture.layers))  # type: ignore[arg-type]
    return tuple(f"{architecture.layers}.{layer}.{architecture.down}" for layer in range(n_layers))


def ia3_config(targets: tuple[str, ...]) -> IA3Config:
    """The configuration of vectors on these modules' inputs."""
    names = list(targets)
    return IA3Config(task_type="CAUSAL_LM", target_modules=names, feedforward_modules=names)


def base_name(model: LoadedModel) -> str:
    """What an adapter says it is of: no path of this machine for a bundled model."""
    return "demo:base" if model.spec.text.startswith("demo:") else str(model.spec.base)


def write_ia3(folder: Path, vectors: Mapping[str, torch.Tensor], config: PeftConfig, base: str) -> None:
    """Write an adapter, IA3 or LoRA, in PEFT's format into a folder that exists; on an error neither of both files."""
    kept = {name: _plain(value) for name, value in sorted(config.to_dict().items())}
    kept |= {"base_model_name_or_path": base, "inference_mode": True}
    with tempfile.TemporaryDirectory(dir=folder) as staging:
        made = [Path(staging) / name for name in (WEIGHTS, CONFIG)]
        save_file(dict(vectors), made[0], metadata={"format": "pt"})
        made[1].write_text(json.dumps(kept, indent=2) + "\n", "utf-8")
        permit_as(made[0], made[1])
        for path in made:
            path.replace(folder / path.name)


def permit_as(weights: Path, beside: Path) -> None:
    """Let those read weights who may read the file beside them: safetensors leaves them to their owner alone."""
    weights.chmod(stat.S_IMODE(beside.stat().st_mode))


def _plain(value: Any) -> Any:
    if isinstance(value, set | frozenset):
        return sorted(value)
    return value.value if hasattr(value, "value") else value


def write_rescaling(folder: Path, model: LoadedModel, members: NeuronSet, factor: float) -> None:
    """Write an adapter for a dense model that multiplies the members by a factor, and no other neuron.

    It stacks on the model's own IA3 adapters, whose scales it multiplies. Raises InputError for a mixture of experts.
    """
    network, architecture = _plain_network(model), model.base.architecture
    config = ia3_config(target_modules(network, architecture, None))
    config.fan_in_fan_out = isinstance(_down(model, 0), Conv1D)
    vectors = {
        f"base_model.model.{name}.ia3_l": _scales(members, layer, factor).reshape(1, -1)
        for layer, name in enumerate(module_names(network, architecture))
    }
    write_ia3(folder, vectors, config, base_name(model))


def write_merged(folder: Path, model: LoadedModel, members: NeuronSet, factor: float) -> None:
    """Write a checkpoint of the model, its adapters merged into its weights, whose members are multiplied by a factor.

    The loaded model cannot be used afterwards. Raises InputError for a mixture of experts.
    """
    network = _plain_network(model)
    target_modules(network, model.base.architecture, None)
    downs = [_down(model, layer) for layer in range(model.base.n_layers)]
    if model.base.peft is not None:
        network = model.base.peft.merge_and_unload(adapter_names=list(model.adapter_names))
    with torch.no_grad():
        for layer, down in enumerate(downs):
            scales = _scales(members, layer, factor).to(down.weight)
            down.weight.mul_(scales.reshape(-1, 1) if isinstance(down, Conv1D) else scales)
    network.save_pretrained(folder)
    model.base.tokenizer.save_pretrained(folder)
    for weights in folder.glob("*.safetensors"):
        permit_as(weights, folder / "config.json")


def _plain_network(model: LoadedModel) -> Any:
    peft: Any = model.base.peft
    return model.base.model if peft is None else peft.get_base_model()


def _down(model: LoadedModel, layer: int) -> Any:
    site = model.sites[layer]
    return site.down if isinstance(site, DenseSite) else None


def _scales(members: NeuronSet, layer: int, factor: float) -> torch.Tensor:
    """What each neuron of a layer is multiplied by: Float[Tensor, "neurons"]."""
    scales = torch.ones(members.shape.n_neurons)
    scales[torch.from_numpy(members.columns[members.layers == layer])] = factor
    return scales
