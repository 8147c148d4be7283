"""Whether a base still has the weights that it was loaded with: adapters of other models must leave them alone."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

_SAMPLED = 1024


@dataclass(frozen=True)
class WeightSample:
    """Some numbers of every weight of a network, and the modules that hold them, whatever is wrapped around these."""

    parts: tuple[tuple[str, nn.Module, str, torch.Tensor], ...]

    @classmethod
    def of(cls, network: nn.Module) -> "WeightSample":
        """As the weights are now: up to 1,024 numbers of each, evenly spread."""
        return cls(tuple(_sampled(network)))

    def changed(self) -> str | None:
        """The name of a weight that is no longer what it was, if there is one."""
        for name, module, leaf, values in self.parts:
            now = getattr(module, leaf, None)
            if not isinstance(now, torch.Tensor) or not torch.equal(_some(now), values):
                return name
        return None


def _sampled(network: nn.Module) -> Iterator[tuple[str, nn.Module, str, torch.Tensor]]:
    for path, module in network.named_modules():
        for leaf, tensor in module.named_parameters(recurse=False):
            yield f"{path}.{leaf}" if path else leaf, module, leaf, _some(tensor)


def _some(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, flat.numel() // _SAMPLED)].clone()
