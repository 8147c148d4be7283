"""LoRA on the projections into and out of neurons: what PEFT is told, what belongs to a neuron, and what is checked."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import torch
from peft import LoraConfig, PeftModel
from torch import nn
from transformers.pytorch_utils import Conv1D

from snql.errors import InputError, RunError
from snql.models.architectures import Architecture
from snql.neurons.sets import NeuronSet
from snql.training.masking import Mask, Part, saved_name, trained_of

_PREFIX = "base_model.model."


def into(architecture: Architecture) -> tuple[str, ...]:
    """The projections of a layer whose outputs become neurons, a row for each (two rows of a fused one)."""
    return tuple(path for path in (architecture.gate, architecture.up) if path is not None)


def targets(model: nn.Module, architecture: Architecture) -> tuple[str, ...]:
    """All projections into and out of neurons by name; raises InputError for a mixture of experts."""
    if architecture.experts is not None:
        raise InputError(
            "the experts of a mixture are one tensor, of which PEFT's LoRA has no rows of neurons: use a dense model"
        )
    n_layers = len(model.get_submodule(architecture.layers))  # type: ignore[arg-type]
    paths = (*into(architecture), architecture.down)
    return tuple(f"{architecture.layers}.{layer}.{path}" for layer in range(n_layers) for path in paths)


def n_entries(architecture: Architecture, layers: int, hidden: int, neurons: int, rank: int) -> int:
    """How many entries are trained where ``neurons`` of all layers are: theirs, and what is all neurons'."""
    shared = len(into(architecture)) + 1
    own = len(into(architecture)) + architecture.fused + 1
    return rank * (neurons * own + layers * hidden * shared)


def check_stackable(kinds: Collection[str], rank: int | None, model: str) -> None:
    """Raise InputError if the model's own adapters are of another type than what is to be trained on them."""
    wanted = "IA3" if rank is None else "LORA"
    if other := sorted(set(kinds) - {wanted}):
        raise InputError(
            f"{model} has adapters of type {other[0]}, and {wanted} cannot be stacked on them: "
            f"{'leave out `lora`' if rank else 'give `lora`'}, or merge them into a checkpoint with PEFT first"
        )


def lora_config(model: nn.Module, names: Sequence[str], rank: int) -> LoraConfig:
    """Of this rank, with an alpha of twice that and no dropout."""
    transposed = isinstance(model.get_submodule(names[0]), Conv1D)
    return LoraConfig(
        task_type="CAUSAL_LM",
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules=list(names),
        fan_in_fan_out=transposed,
    )


def mask_on(model: PeftModel, architecture: Architecture, members: NeuronSet) -> Mask:
    """Train the rows and columns of these neurons alone, and what is all neurons'."""
    return Mask.of(list(_parts(model, architecture, members)))


def check_updates(tensors: Mapping[str, torch.Tensor], architecture: Architecture, members: NeuronSet) -> None:
    """Raise RunError unless B A is 0, bit for bit, in all rows and columns of neurons that are not trained."""
    for layer in range(members.shape.n_layers):
        frozen = ~trained_of(members, layer)
        for path in (*into(architecture), architecture.down):
            name = f"{_PREFIX}{architecture.layers}.{layer}.{path}"
            a, b = tensors[f"{name}.lora_A.weight"], tensors[f"{name}.lora_B.weight"]
            others = frozen if path == architecture.down else frozen.repeat(len(b) // len(frozen))
            update = b @ a[:, others] if path == architecture.down else b[others] @ a
            if update.any():
                raise RunError(f"layer {layer}: {path} is changed at neurons that were not to be: nothing is written")


def _parts(model: PeftModel, architecture: Architecture, members: NeuronSet) -> Iterator[Part]:
    for layer in range(members.shape.n_layers):
        trained = trained_of(members, layer)
        for path in (*into(architecture), architecture.down):
            name = f"{_PREFIX}{architecture.layers}.{layer}.{path}"
            side, axis = ("lora_A", 1) if path == architecture.down else ("lora_B", 0)
            inside = f"{name}.{side}.default.weight"
            parameter: Any = model.get_parameter(inside)
            yield Part(saved_name(inside), layer, parameter, trained, axis, 0.0)
