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
    model computed them, in its own number type.
    """

    def __init__(self, model: LoadedModel, texts: Sequence[Sequence[int]]) -> None:
        super().__init__(model, texts)
        self._rows = torch.arange(len(texts))
        self._steps: list[torch.Tensor] = []
        self._held: dict[int, list[torch.Tensor]] = {layer: [] for layer in range(model.base.n_layers)}

    @contextmanager
    def capturing(self) -> Iterator[None]:
        """Keep what the model computes within the block."""

        def take(layer: int, activations: torch.Tensor) -> None:
            last = activations[:, -1]
            # Of a prompt only the last position is kept: a view would hold on to all of them.
            self._held[layer].append(last.clone() if activations.shape[1] > 1 else last)

        with hooks.reading(self.model.sites, self._held, take, lambda: self.n_rows):
            yield

    def logits(self) -> torch.Tensor:
        self._steps.append(self._rows)
        return super().logits()

    def select(self, rows: torch.Tensor) -> None:
        super().select(rows)
        self._rows = self._rows[rows.cpu()]

    def written(self, rows: Sequence[int], lengths: Sequence[int]) -> "Written":
        """The activations of the first ``lengths[row]`` steps of each of ``rows``, row by row."""
        return Written(self._held, self._places(rows, lengths))

    def _places(self, rows: Sequence[int], lengths: Sequence[int]) -> torch.Tensor:
        """Where the steps of these rows are when all steps of a layer are laid end to end."""
        places = torch.full((len(self._steps), max(rows, default=-1) + 1), -1)
        start = 0
        for step, present in enumerate(self._steps):
            inside = present < places.shape[1]
            places[step, present[inside]] = torch.arange(start, start + len(present))[inside]
            start += len(present)
        return torch.cat([places[: lengths[row], row] for row in rows])


class Written:
    """Activations of some rows that were captured while they were written."""

    def __init__(self, held: dict[int, list[torch.Tensor]], places: torch.Tensor) -> None:
        self._held = held
        self._places = places

    def __getitem__(self, layer: int) -> torch.Tensor:
        """Float[Tensor, "tokens neurons"] of one layer."""
        steps = self._held[layer]
        if len(steps) > 1:  # laid end to end once, for all batches that read from them
            steps[:] = [torch.cat(steps)]
        return steps[0][self._places.to(steps[0].device)]
