"""Value vectors: what a neuron's activation of 1 adds to the output of its down-projection."""

from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import nn

from snql.errors import ModelError
from snql.models.loaded import LoadedModel
from snql.models.sites import DenseSite, ExpertSite


@torch.inference_mode()
def value_vectors(model: LoadedModel, layer: int, neurons: torch.Tensor | None = None) -> torch.Tensor:
    """Value vectors of one layer as columns: Float32[Tensor, "outputs neurons"], of all neurons or of those given.

    Column n is that of the weight of the down-projection: biases are no neuron's. IA3 rescales activations and leaves
    it as it is; what active LoRA adapters add to it is added. A mixture of experts has its experts' columns one after
    the other. Raises ModelError for weights that are quantised, under DoRA or not finite.
    """
    with model.switched_on():
        site = model.sites[layer]
        if isinstance(site, ExpertSite):
            return _of_experts(site, neurons)
        if not isinstance(site, DenseSite):
            raise ModelError(f"model {model.spec.text!r} has no value vectors that snql can read")
        weight = site.down.weight.detach()
        if not torch.is_floating_point(weight):
            raise ModelError(f"model {model.spec.text!r} is quantised: read its value vectors without `quantize`")
        columns = weight if isinstance(site.down, nn.Linear) else weight.T
        columns = columns if neurons is None else columns[:, neurons.to(columns.device)]
        found = columns.float()
        if isinstance(site.entry, LoraLayer):
            for name in model.adapter_names:
                if name in site.entry.lora_variant:
                    raise ModelError(f"model {model.spec.text!r} has a DoRA adapter, whose value vectors are not read")
                if name in site.entry.lora_A:
                    found = found + _delta(site.entry, name, neurons)
        if not bool(torch.isfinite(found).all()):
            raise ModelError(f"value vectors of layer {layer} of model {model.spec.text!r} are not finite")
        return found


def _of_experts(site: ExpertSite, neurons: torch.Tensor | None) -> torch.Tensor:
    weight: torch.Tensor = site.module.down_proj.detach()  # experts, outputs, neurons of an expert
    if neurons is None:
        return weight.permute(1, 0, 2).flatten(1).float()
    neurons = neurons.to(weight.device)
    experts, places = neurons // weight.shape[-1], neurons % weight.shape[-1]
    return weight[experts, :, places].T.float()


def _delta(layer: Any, name: str, neurons: torch.Tensor | None) -> torch.Tensor:
    """What a LoRA adapter adds to a layer's weights: Float32[Tensor, "outputs neurons"]."""
    delta: torch.Tensor = layer.get_delta_weight(name).float()
    return delta if neurons is None else delta[:, neurons.to(delta.device)]
