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
Counts = npt.NDArray[np.int64]


@dataclass
class Moments:
    """Count, mean and sum of squared deviations of every neuron, each of shape (layers, neurons)."""

    count: Counts
    mean: Array
    m2: Array

    @classmethod
    def empty(cls, n_layers: int, n_neurons: int) -> "Moments":
        shape = (n_layers, n_neurons)
        return cls(np.zeros(shape, dtype=np.int64), np.zeros(shape), np.zeros(shape))

    def merge(self, layer: int, count: Counts, mean: Array, m2: Array) -> None:
        """Add values of one layer, given their count, mean and sum of squared deviations, each (neurons,)."""
        total = self.count[layer] + count
        share = count / np.maximum(total, 1)
        delta = mean - self.mean[layer]
        self.m2[layer] += m2 + delta**2 * (self.count[layer] * share)
        self.mean[layer] += delta * share
        self.count[layer] = total

    def std(self) -> Array:
        """Standard deviation with n-1, shape (layers, neurons); NaN where there are fewer than two values."""
        spare = (self.count - 1).astype(np.float64)
        spare[spare < 1] = np.nan
        return np.sqrt(self.m2 / spare)


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

    def add(self, layer: int, before: torch.Tensor, after: torch.Tensor, *, routed: bool = False) -> None:
        """Add one layer's activations of both models: Float[Tensor, "tokens neurons"] each, same tokens.

        With ``routed`` (mixtures of experts), NaN says that a token did not reach an expert, and a token counts for a
        neuron if it reached the expert in both models. Raises RunError if an activation is not finite.
        """
        b, a = before.double(), after.double()
        unreached = b.isnan() | a.isnan() if routed else None
        if unreached is not None:
            b, a = b.masked_fill(unreached, 0), a.masked_fill(unreached, 0)
        squared = (b - a).square().sum(dim=0)
        if not bool(torch.isfinite(squared).all()):
            raise RunError(f"activations of layer {layer} are not finite: the weights or this dtype are unsound")
        count = torch.full_like(squared, len(b), dtype=torch.long)
        if unreached is not None:
            count -= unreached.sum(dim=0)
        for moments, values in ((self.before, b), (self.after, a)):
            mean = values.sum(dim=0) / count.clamp(min=1)
            deviations = values - mean
            if unreached is not None:
                deviations = deviations.masked_fill(unreached, 0)
            m2 = deviations.square().sum(dim=0)
            moments.merge(layer, count.cpu().numpy(), mean.cpu().numpy(), m2.cpu().numpy())
        self.squared_differences[layer] += squared.cpu().numpy()

    def merge(self, other: "ContrastSums") -> None:
        """Add the sums of another shard of the same run."""
        for layer in range(len(self.squared_differences)):
            for mine, theirs in ((self.before, other.before), (self.after, other.after)):
                mine.merge(layer, theirs.count[layer], theirs.mean[layer], theirs.m2[layer])
        self.squared_differences += other.squared_differences

    @property
    def n_tokens(self) -> Counts:
        """Number of tokens scored for each neuron, (layers, neurons)."""
        return self.before.count

    def change_scores(self) -> Array:
        """Root mean square difference per neuron, (layers, neurons): arXiv 2406.14144, eq. 3; NaN without tokens."""
        tokens = np.where(self.n_tokens > 0, self.n_tokens, np.nan)
        scores: Array = np.sqrt(self.squared_differences / tokens)
        return scores
