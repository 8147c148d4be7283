"""The activations of a model while it writes: those of the positions whose output is the next token."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from snql.generation.stream import Stream
from snql.models import hooks
from snql.models.loaded import LoadedModel


class CapturedStream(Stream):
    """A stream that keeps every neuron's activation at the last position of each step, on its device.

    Step ``s`` reads up to position ``t + s`` of a row and gives its token ``t + s + 1``: with ``m`` tokens written,
    steps 0..m-1 are the row's ``generating`` positions (arXiv 2406.14144, equation 3). Activations are kept as the
    model computed them, in its own number type; each layer's in one tensor that is made at the first step, so that
    memory is neither cut into pieces nor copied once more.
    """

    def __init__(self, model: LoadedModel, texts: Sequence[Sequence[int]], max_new_tokens: int) -> None:
        super().__init__(model, texts)
        self._n_steps = max_new_tokens
        self._n_rows = len(texts)
        self._rows = torch.arange(len(texts))
        self._step = -1
        self._held: dict[int, torch.Tensor] = {}

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Keep what the model computes within the block."""

        def take(layer: int, activations: torch.Tensor) -> None:
            last = activations[:, -1]
            if layer not in self._held:
                self._held[layer] = last.new_empty(self._n_steps, self._n_rows, last.shape[-1])
            self._held[layer][self._step, self._rows.to(last.device)] = last

        with hooks.reading(self.model.sites, range(self.model.base.n_layers), take, lambda: self.n_rows):
            yield

    def logits(self) -> torch.Tensor:
        self._step += 1
        return super().logits()

    def select(self, rows: torch.Tensor) -> None:
        super().select(rows)
        self._rows = self._rows[rows.cpu()]

    def written(self, layer: int, rows: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """One layer's activations at the first ``lengths[row]`` steps of each of ``rows``, row by row.

        Float[Tensor, "tokens neurons"].
        """
        held = self._held[layer]
        return torch.cat([held[: lengths[row], row] for row in rows])
