"""Streaming float64 statistics of one model's neurons over prompts, and the norms of its value vectors."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snql.contrast.positions import Text
from snql.contrast.read import read_batch
from snql.errors import RunError
from snql.models.loaded import LoadedModel
from snql.models.values import value_vectors

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Settings:
    """last: only the last token of each prompt, else all. top: whether neurons are counted that are, for one prompt,
    among the ``most`` largest of their ``layer`` or of the ``model``'s first ``n_layers`` layers; None: not counted."""

    last: bool
    top: str | None
    most: int
    n_layers: int


@dataclass
class PromptStatistics:
    """Of all neurons, each array of shape (layers, neurons). count: tokens; n_prompts: prompts.

    mean, m2: of the activation over tokens (m2: sum of squared deviations); norms: sum over prompts of the Euclidean
    norm over the prompt's tokens; at_top: prompts for which a neuron is among the largest.
    """

    count: int
    n_prompts: int
    mean: Array
    m2: Array
    norms: Array
    at_top: npt.NDArray[np.int64]

    @classmethod
    def empty(cls, n_layers: int, n_neurons: int) -> "PromptStatistics":
        mean, m2, norms = (np.zeros((n_layers, n_neurons)) for _ in range(3))
        return cls(0, 0, mean, m2, norms, np.zeros((n_layers, n_neurons), dtype=np.int64))

    @property
    def std(self) -> Array:
        """Standard deviation with n-1; NaN of fewer than two tokens."""
        return np.sqrt(self.m2 / (self.count - 1)) if self.count > 1 else np.full(self.m2.shape, np.nan)

    @property
    def mean_square(self) -> Array:
        """Mean of the activation's square over tokens."""
        square: Array = self.m2 / self.count + np.square(self.mean)
        return square

    @property
    def norm(self) -> Array:
        """Euclidean norm of the activation over all tokens."""
        norm: Array = np.sqrt(self.m2 + self.count * np.square(self.mean))
        return norm

    @property
    def mean_norm(self) -> Array:
        """Mean over prompts of the norm over the prompt's tokens."""
        return self.norms / self.n_prompts

    def check(self) -> None:
        """Raise RunError if an activation was not finite."""
        bad = np.flatnonzero(~np.isfinite(self.norms).all(axis=1))
        if len(bad):
            raise RunError(f"activations of layer {bad[0]} are not finite: the weights or this dtype are unsound")

    def add_layer(self, layer: int, values: torch.Tensor) -> None:
        """Merge the activations of one layer: Float64[Tensor, "tokens neurons"], before ``count`` is raised."""
        n_new = len(values)
        share = n_new / (self.count + n_new)
        mean = values.mean(dim=0)
        m2 = (values - mean).square().sum(dim=0).cpu().numpy()
        delta = mean.cpu().numpy() - self.mean[layer]
        self.m2[layer] += m2 + np.square(delta) * self.count * share
        self.mean[layer] += delta * share


def read_prompts(
    model: LoadedModel,
    prompts: Sequence[tuple[int, ...]],
    settings: Settings,
    weights: Array,
    statistics: PromptStatistics,
) -> None:
    """Add one batch of prompts. weights: by layer and neuron, what activations count where neurons are compared."""
    starts = [len(ids) - 1 if settings.last else 0 for ids in prompts]
    texts = [Text(0, ids, tuple(range(start, len(ids)))) for ids, start in zip(prompts, starts, strict=True)]
    lengths = [len(text.scored) for text in texts]
    sizes = np.zeros((len(prompts), settings.n_layers, model.shape.n_neurons)) if settings.top == "model" else None

    def take(layer: int, activations: torch.Tensor) -> None:
        values = activations.double() if activations.device.type != "mps" else activations.cpu().double()
        statistics.add_layer(layer, values)
        norms = torch.stack([part.norm(dim=0) for part in torch.split(values, lengths)]).cpu().numpy()
        statistics.norms[layer] += norms.sum(axis=0)
        if layer >= settings.n_layers or settings.top is None:
            return
        weighted = norms * weights[layer]
        if sizes is not None:
            sizes[:, layer] = weighted
            return
        for row in weighted:
            statistics.at_top[layer, _largest(row, settings.most)] += 1

    read_batch(model, texts, range(model.shape.n_layers), take)
    statistics.count += sum(lengths)
    statistics.n_prompts += len(prompts)
    if sizes is not None:
        flat = statistics.at_top[: settings.n_layers].reshape(-1)
        for row in sizes.reshape(len(prompts), -1):
            flat[_largest(row, settings.most)] += 1


def _largest(values: Array, most: int) -> npt.NDArray[np.int64]:
    """Indices of the largest values; of equal ones those that come first."""
    return np.argsort(-values, kind="stable")[:most]


def column_norms(model: LoadedModel) -> Array:
    """Euclidean norms of the value vectors: Float64["layers neurons"], see :mod:`snql.models.values`."""
    norms = [value_vectors(model, layer).double().norm(dim=0) for layer in range(model.shape.n_layers)]
    return np.stack([norm.cpu().numpy() for norm in norms])
