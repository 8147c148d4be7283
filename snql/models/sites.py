"""The places in a loaded model where its neurons are read and overwritten."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from snql.errors import ModelError
from snql.models import experts
from snql.models.architectures import Architecture, Projection, projection, widths

Hook = Callable[[torch.Tensor], torch.Tensor | None]
"""Given activations, returns those that go on, or None to leave them as they are."""


class Site(Protocol):
    """One layer's neurons. A mixture of experts lays them out expert by expert, NaN where a token was not routed."""

    @property
    def layer(self) -> int: ...

    @property
    def n_neurons(self) -> int:
        """Neurons of the layer, those of all its experts."""

    @property
    def n_experts(self) -> int:
        """1 for a dense layer."""

    @property
    def n_outputs(self) -> int:
        """Width of what the neurons write to."""

    @property
    def reader(self) -> nn.Module:
        """A module whose first input is the MLP's input."""

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        """Hook the neurons: [Tensor, "... neurons"]; returns what takes the hook off again."""

    def by_hand(self, inputs: torch.Tensor) -> torch.Tensor:
        """The neurons computed from the MLP's input and the layer's own weights: Float[Tensor, "... neurons"]."""

    def strongest(self, activations: torch.Tensor) -> int:
        """A neuron that these activations reach and whose value vector is large."""


@dataclass(frozen=True)
class DenseSite:
    """The neurons of a dense MLP.

    entry: the module whose first input is the activations. It is the base down-projection, so that what an IA3 wrapper
    rescales is read after the rescaling; around a LoRA layer it is the wrapper, so that an overwritten activation
    reaches the low-rank branch as well as the base.
    """

    layer: int
    entry: nn.Module
    down: Projection
    up: nn.Module
    gate: nn.Module | None
    activation: nn.Module
    fused: bool
    n_experts: int = 1

    @property
    def n_neurons(self) -> int:
        return widths(self.down)[0]

    @property
    def n_outputs(self) -> int:
        return widths(self.down)[1]

    @property
    def reader(self) -> nn.Module:
        return self.up

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        def pre_hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...] | None:
            new = hook(inputs[0])
            return None if new is None else (new, *inputs[1:])

        return self.entry.register_forward_pre_hook(pre_hook).remove

    def by_hand(self, inputs: torch.Tensor) -> torch.Tensor:
        raised: torch.Tensor = self.up(inputs)
        if self.fused:
            gate, raised = raised.chunk(2, dim=-1)
        elif self.gate is not None:
            gate = self.gate(inputs)
        else:
            gate, raised = raised, torch.ones_like(raised)
        activated: torch.Tensor = self.activation(gate)
        return activated * raised

    def strongest(self, activations: torch.Tensor) -> int:  # noqa: ARG002
        weight = self.down.weight
        if not torch.is_floating_point(weight):
            return 0
        by_neuron = weight if isinstance(self.down, nn.Linear) else weight.T
        return int(by_neuron.float().norm(dim=0).argmax())


@dataclass(frozen=True)
class ExpertSite:
    """The neurons of a layer's routed experts; a shared expert's are not among them."""

    layer: int
    module: Any

    @property
    def n_experts(self) -> int:
        return int(self.module.num_experts)

    @property
    def n_neurons(self) -> int:
        return self.n_experts * int(self.module.down_proj.shape[-1])

    @property
    def n_outputs(self) -> int:
        return int(self.module.down_proj.shape[-2])

    @property
    def reader(self) -> nn.Module:
        module: nn.Module = self.module
        return module

    def add_hook(self, hook: Hook) -> Callable[[], None]:
        def experts_hook(activations: torch.Tensor) -> torch.Tensor:
            new = hook(activations)
            return activations if new is None else new

        return experts.add_hook(self.module, experts_hook)

    def by_hand(self, inputs: torch.Tensor) -> torch.Tensor:
        width = self.module.down_proj.shape[-1]
        gates, ups = self.module.gate_up_proj[:, :width], self.module.gate_up_proj[:, width:]
        gate = torch.einsum("...h,enh->...en", inputs, gates)
        raised = torch.einsum("...h,enh->...en", inputs, ups)
        activated: torch.Tensor = self.module.act_fn(gate) * raised
        return activated.flatten(-2)

    def strongest(self, activations: torch.Tensor) -> int:
        reached = (~activations.isnan()).flatten(0, -2).sum(dim=0)
        return int(reached.argmax())


def find_sites(model: nn.Module, architecture: Architecture) -> list[Site]:
    """The site of every layer, in order; raises ModelError if the model is not built as the architecture says."""
    try:
        layers = model.get_submodule(architecture.layers)
        if not isinstance(layers, nn.ModuleList):
            raise ModelError(f"{architecture.layers} is a {type(layers).__name__}, not a list of layers")
        return [_site(index, layer, architecture) for index, layer in enumerate(layers)]
    except AttributeError as error:
        raise ModelError(f"the model is not built as its type says: {error}") from error


def _site(index: int, layer: nn.Module, architecture: Architecture) -> Site:
    if architecture.experts is not None:
        return _expert_site(index, layer, architecture.experts)
    module = layer.get_submodule(architecture.down)
    down = projection(module, f"layer {index}: {architecture.down}")
    return DenseSite(
        layer=index,
        entry=module if isinstance(module, LoraLayer) else down,
        down=down,
        up=layer.get_submodule(architecture.up),
        gate=None if architecture.gate is None else layer.get_submodule(architecture.gate),
        activation=layer.get_submodule(architecture.activation),
        fused=architecture.fused,
    )


def _expert_site(index: int, layer: nn.Module, path: str) -> ExpertSite:
    try:
        module = layer.get_submodule(path)
    except AttributeError as error:
        raise ModelError(
            f"layer {index} has no experts at {path}: a model that mixes dense and expert layers has no one number of "
            "neurons a layer, and is not supported"
        ) from error
    experts.check_layout(module, f"layer {index}")
    return ExpertSite(index, module)
