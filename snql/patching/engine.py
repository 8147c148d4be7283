"""Dynamic activation patching, in lockstep: donor and recipient each read the growing text with a cache of their own.

Every step the donor reads the recipient's text, the recipient reads it too with the chosen neurons' activations
overwritten by the donor's, and the recipient's next token goes to both (DESIGN section 1; arXiv 2406.14144).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from snql.generation.decode import decode
from snql.generation.stream import Stream
from snql.generation.types import Completion
from snql.models import hooks
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet


@dataclass(frozen=True)
class PatchRow:
    """One text to complete, with the neurons that are patched while it is written."""

    input_ids: tuple[int, ...]
    neurons: NeuronSet


class PatchedWriter:
    """Next-token logits of a recipient whose rows have neurons overwritten by a donor that reads the same rows.

    Patches every position that a step computes: all prompt positions in the first step, then one a step.
    """

    def __init__(self, recipient: LoadedModel, donor: LoadedModel, rows: Sequence[PatchRow]) -> None:
        texts = [row.input_ids for row in rows]
        self._recipient = Stream(recipient, texts)
        self._donor = Stream(donor, texts)
        self._masks = neuron_masks([row.neurons for row in rows], recipient.base.device)
        self._routed = recipient.base.n_experts > 1

    def logits(self) -> torch.Tensor:
        """Logits of the patched recipient: Float[Tensor, "rows vocabulary"]."""
        given: dict[int, torch.Tensor] = {}
        n_rows = self._recipient.n_rows
        with hooks.reading(self._donor.model.sites, self._masks, given.__setitem__, n_rows):
            self._donor.logits()

        def patch(layer: int, own: torch.Tensor) -> torch.Tensor:
            donated = given.pop(layer).to(own.device, own.dtype)
            chosen = self._masks[layer][:, None, :].to(own.device)
            if self._routed:  # a donor that sent the token elsewhere has no activation to give
                chosen = chosen & ~donated.isnan()
            return torch.where(chosen, donated, own)

        with hooks.rewriting(self._recipient.model.sites, self._masks, patch, n_rows):
            return self._recipient.logits()

    def push(self, tokens: torch.Tensor) -> None:
        self._recipient.push(tokens)
        self._donor.push(tokens)

    def select(self, rows: torch.Tensor) -> None:
        self._recipient.select(rows)
        self._donor.select(rows)
        self._masks = {layer: mask[rows] for layer, mask in self._masks.items()}


def patch_and_generate(
    recipient: LoadedModel, donor: LoadedModel, rows: Sequence[PatchRow], max_new_tokens: int
) -> list[Completion]:
    """Complete each row greedily with its neurons patched, as one batch."""
    writer = PatchedWriter(recipient, donor, rows)
    return decode(writer, len(rows), max_new_tokens, recipient.base.end_ids)


def neuron_masks(sets: Sequence[NeuronSet], device: torch.device) -> Mapping[int, torch.Tensor]:
    """Which neurons of which rows are overwritten, for layers that have any: Bool[Tensor, "rows neurons"] each."""
    masks: dict[int, torch.Tensor] = {}
    for row, neurons in enumerate(sets):
        for layer, members in neurons.by_layer().items():
            if layer not in masks:
                masks[layer] = torch.zeros(len(sets), neurons.shape.n_neurons, dtype=torch.bool)
            masks[layer][row, torch.from_numpy(members)] = True
    return {layer: mask.to(device) for layer, mask in masks.items()}
