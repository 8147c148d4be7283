"""Streaming float64 sums from which change scores, means and standard deviations come.

Sums merge (Chan, Golub and LeVeque's pairwise update), so memory does not grow with tokens and shards of one run
can be added in any number.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snql.errors import RunError

Array = npt.NDArray[np.float64]


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of every neuron: count (layers,), the others (layers, neurons)."""

    count: npt.NDArray[np.int64]
    mean: Array
    m2: Array

    @classmethod
    def empty(cls, n_layers: int, n_neurons: int) -> "Moments":
        shape = (n_layers, n_neurons)
        return cls(np.zeros(n_layers, dtype=np.int64), np.zeros(shape), np.zeros(shape))

    def merge(self, layer: int, count: int, mean: Array, m2: Array) -> None:
        """Add ``count`` values of one layer, given their mean and sum of squared deviations, each (neurons,)."""
        if count == 0:
            return
        total = self.count[layer] + count
        delta = mean - self.mean[layer]
        self.mean[layer] += delta * (count / total)
        self.m2[layer] += m2 + delta**2 * (float(self.count[layer]) * count / total)
        self.count[layer] = total

    def std(self) -> Array:
        """Standard deviation with n-1, shape (layers, neurons); NaN where there are fewer than two values."""
        spare = (self.count - 1).astype(np.float64)
        spare[spare < 1] = np.nan
        return np.sqrt(self.m2 / spare[:, None])


@dataclass
class ContrastSums:
    """What a contrast accumulates per neuron: moments under both models and squared differences."""

    before: Moments
    after: Moments
    squared_differences: Array

    @classmethod
    def empty(cls, n_layers: int, n_neurons: int) -> "ContrastSums":
        return cls(
            Moments.empty(n_layers, n_neurons),
            Moments.empty(n_layers, n_neurons),
            np.zeros((n_layers, n_neurons)),
        )

    def add(self, layer: int, before: torch.Tensor, after: torch.Tensor) -> None:
        """Add one layer's activations of both models: Float[Tensor, "tokens neurons"] each, same tokens.

        Raises RunError if an activation is not finite.
        """
        b, a = before.double(), after.double()
        squared = (b - a).square().sum(dim=0)
        if not bool(torch.isfinite(squared).all()):
            raise RunError(f"activations of layer {layer} are not finite: the weights or this dtype are unsound")
        for moments, values in ((self.before, b), (self.after, a)):
            mean = values.mean(dim=0)
            m2 = (values - mean).square().sum(dim=0)
            moments.merge(layer, len(values), mean.cpu().numpy(), m2.cpu().numpy())
        self.squared_differences[layer] += squared.cpu().numpy()

    def merge(self, other: "ContrastSums") -> None:
        """Add the sums of another shard of the same run."""
        for layer in range(len(self.squared_differences)):
            for mine, theirs in ((self.before, other.before), (self.after, other.after)):
                mine.merge(layer, int(theirs.count[layer]), theirs.mean[layer], theirs.m2[layer])
        self.squared_differences += other.squared_differences

    @property
    def n_tokens(self) -> npt.NDArray[np.int64]:
        """Number of scored tokens of each layer: (layers,)."""
        return self.before.count

    def change_scores(self) -> Array:
        """Root mean square difference per neuron, (layers, neurons): arXiv 2406.14144, equation 3."""
        scores: Array = np.sqrt(self.squared_differences / self.n_tokens[:, None])
        return scores
