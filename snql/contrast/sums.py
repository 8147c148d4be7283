"""Streaming float64 sums from which change scores, means and standard deviations come.

Sums stay on the device where the activations are until a batch is done, and merge (Chan, Golub and LeVeque's pairwise
update), so memory does not grow with tokens and batches of one run can be added in any number.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Self

import numpy as np
import numpy.typing as npt
import torch

from snql.errors import RunError

Array = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

_BLOCK = {"cpu": 128}
_BLOCK_ELSEWHERE = 4096
"""Tokens that are reduced at a time: on a CPU few enough that their float64 copies stay in its cache."""


@dataclass
class LayerSums:
    """What a contrast accumulates for the neurons of one layer, each a tensor of shape (neurons,).

    count: tokens (int64). The rest is float64: both means, both sums of squared deviations (m2), the sum of squared
    differences, and the sum of differences (after - before).
    """

    count: torch.Tensor
    mean_before: torch.Tensor
    mean_after: torch.Tensor
    m2_before: torch.Tensor
    m2_after: torch.Tensor
    squared_differences: torch.Tensor
    differences: torch.Tensor

    @classmethod
    def empty(cls, n_neurons: int, device: torch.device) -> Self:
        count = torch.zeros(n_neurons, dtype=torch.int64, device=device)
        zeros = [torch.zeros(n_neurons, dtype=torch.float64, device=device) for _ in fields(cls)[1:]]
        return cls(count, *zeros)

    @classmethod
    @torch.inference_mode()
    def of(cls, before: torch.Tensor, after: torch.Tensor, *, routed: bool) -> Self:
        """The sums of one block of tokens: Float64[Tensor, "tokens neurons"] each, overwritten on the way."""
        unreached = before.isnan() | after.isnan() if routed else None
        count = torch.full_like(before[0], len(before), dtype=torch.int64)
        if unreached is not None:
            before.masked_fill_(unreached, 0)
            after.masked_fill_(unreached, 0)
            count -= unreached.sum(dim=0)
        difference = after - before
        differences = difference.sum(dim=0)
        squared = difference.square_().sum(dim=0)
        means, m2s = [], []
        for values in (before, after):
            mean = values.sum(dim=0) / count.clamp(min=1)
            values -= mean
            if unreached is not None:
                values.masked_fill_(unreached, 0)
            means.append(mean)
            m2s.append(values.square_().sum(dim=0))
        return cls(count, means[0], means[1], m2s[0], m2s[1], squared, differences)

    @torch.inference_mode()
    def merge(self, other: Self) -> None:
        """Add the sums of other tokens, which may be on another device."""
        other = other.to(self.count.device)
        total = self.count + other.count
        share = other.count.double() / total.clamp(min=1)
        weight = self.count * share
        for mean, m2 in (("mean_before", "m2_before"), ("mean_after", "m2_after")):
            delta = getattr(other, mean) - getattr(self, mean)
            getattr(self, m2).add_(getattr(other, m2)).add_(delta.square() * weight)
            getattr(self, mean).add_(delta * share)
        self.squared_differences += other.squared_differences
        self.differences += other.differences
        self.count = total

    def to(self, device: torch.device) -> Self:
        return type(self)(*(getattr(self, field.name).to(device) for field in fields(self)))


class ContrastSums:
    """The sums of every layer of a model."""

    def __init__(self, n_layers: int, n_neurons: int) -> None:
        self._layers: list[LayerSums | None] = [None] * n_layers
        self._n_neurons = n_neurons

    def add(self, layer: int, before: torch.Tensor, after: torch.Tensor, *, routed: bool = False) -> None:
        """Add one layer's activations of both models: Float[Tensor, "tokens neurons"] each, same tokens.

        With ``routed`` (mixtures of experts), NaN says that a token did not reach an expert, and a token counts for a
        neuron if it reached the expert in both models.
        """
        block = _BLOCK.get(before.device.type, _BLOCK_ELSEWHERE)
        for start in range(0, len(before), block):
            b, a = (_double(values[start : start + block]) for values in (before, after))
            self._merge(layer, LayerSums.of(b, a, routed=routed))

    def merge(self, other: "ContrastSums") -> None:
        """Add the sums of other tokens of the same run."""
        for layer, sums in enumerate(other._layers):
            if sums is not None:
                self._merge(layer, sums)

    def cpu(self) -> "ContrastSums":
        """The same sums in host memory. Raises RunError if an activation was not finite."""
        moved = ContrastSums(len(self._layers), self._n_neurons)
        for layer, sums in enumerate(self._layers):
            if sums is None:
                continue
            moved._layers[layer] = sums.to(torch.device("cpu"))
            if not bool(torch.isfinite(sums.squared_differences).all()):
                raise RunError(f"activations of layer {layer} are not finite: the weights or this dtype are unsound")
        return moved

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """The sums as arrays of shape (layers, neurons), by name; :meth:`restored` reads them."""
        layers = [self._layer(layer) for layer in range(len(self._layers))]
        return {
            field.name: np.stack([getattr(sums, field.name).numpy() for sums in layers]) for field in fields(LayerSums)
        }

    @classmethod
    def restored(cls, state: Mapping[str, npt.NDArray[np.generic]]) -> "ContrastSums":
        """Sums from what :meth:`state` gave, bit for bit."""
        sums = cls(*state["count"].shape)
        for layer in range(len(sums._layers)):
            tensors = (torch.from_numpy(state[field.name][layer].copy()) for field in fields(LayerSums))
            sums._layers[layer] = LayerSums(*tensors)
        return sums

    def _layer(self, layer: int) -> LayerSums:
        return self._layers[layer] or LayerSums.empty(self._n_neurons, torch.device("cpu"))

    def _merge(self, layer: int, sums: LayerSums) -> None:
        mine = self._layers[layer]
        if mine is None:
            mine = self._layers[layer] = LayerSums.empty(self._n_neurons, sums.count.device)
        mine.merge(sums)

    def statistics(self) -> "ContrastStatistics":
        """What the sums say of every neuron."""
        return ContrastStatistics(**self.state())  # type: ignore[arg-type]


@dataclass(frozen=True)
class ContrastStatistics:
    """Statistics of every neuron, each of shape (layers, neurons), from sums in host memory."""

    count: Counts
    mean_before: Array
    mean_after: Array
    m2_before: Array
    m2_after: Array
    squared_differences: Array
    differences: Array

    @property
    def change_scores(self) -> Array:
        """Root mean square difference: arXiv 2406.14144, eq. 3; NaN without tokens."""
        scores: Array = np.sqrt(self.squared_differences / self._tokens)
        return scores

    @property
    def mean_differences(self) -> Array:
        """Mean of after - before; NaN without tokens."""
        means: Array = self.differences / self._tokens
        return means

    @property
    def std_before(self) -> Array:
        """Standard deviation with n-1; NaN where there are fewer than two tokens."""
        return self._std(self.m2_before)

    @property
    def std_after(self) -> Array:
        return self._std(self.m2_after)

    @property
    def mean_squares(self) -> Array:
        """The larger of both models' mean squares; NaN without tokens."""
        before = self.m2_before / self._tokens + np.square(self.mean_before)
        after = self.m2_after / self._tokens + np.square(self.mean_after)
        larger: Array = np.maximum(before, after)
        return larger

    @property
    def _tokens(self) -> Array:
        return np.where(self.count > 0, self.count, np.nan)

    def _std(self, m2: Array) -> Array:
        spare = (self.count - 1).astype(np.float64)
        spare[spare < 1] = np.nan
        std: Array = np.sqrt(m2 / spare)
        return std


def _double(values: torch.Tensor) -> torch.Tensor:
    """A float64 copy; on the CPU where a device has no float64 (Apple's)."""
    values = values.cpu() if values.device.type == "mps" else values
    return values.to(torch.float64, copy=True)
