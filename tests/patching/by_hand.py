"""Patching recomputed from scratch at every step: one text, no cache, no padding, hooks of its own."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet, Shape

SHAPE = Shape(4, 176)
N_NEW = 10
Models = dict[str, LoadedModel]
Adjust = Callable[[list[int], torch.Tensor], torch.Tensor]
Change = Callable[[int, list[int], list[int], torch.Tensor, torch.Tensor], torch.Tensor]
"""From layer, positions, neurons, own and the source's activations to new ones: [Tensor, "positions neurons"]."""


def read(model: LoadedModel, ids: Sequence[int], hook: Any) -> torch.Tensor:
    """Last logits of one text, with ``hook(layer, activations)`` on every down-projection's input."""
    return read_whole(model, ids, hook)[-1]


def read_whole(model: LoadedModel, ids: Sequence[int], hook: Any) -> torch.Tensor:
    """All logits of one text: Float[Tensor, "tokens vocabulary"]."""
    sites: Any = model.base.sites
    handles = [
        site.entry.register_forward_pre_hook(lambda _m, inputs, la=layer: (hook(la, inputs[0]),))
        for layer, site in enumerate(sites)
    ]
    try:
        with model.switched_on() as network:
            logits: torch.Tensor = network(torch.tensor([list(ids)])).logits[0]
    finally:
        for handle in handles:
            handle.remove()
    return logits


def by_hand(
    target: LoadedModel,
    source: LoadedModel | None,
    prompt: Sequence[int],
    neurons: NeuronSet,
    change: Change,
    covered: Callable[[int], bool] = lambda _: True,
    choose: Callable[[torch.Tensor, int], int] = lambda logits, _: int(logits.argmax()),
    adjust: Adjust = lambda _text, logits: logits,
) -> tuple[list[int], list[int], list[int]]:
    """Tokens written, and what source and unpatched target would have written at each step; neuron by neuron.

    adjust: changes the logits after a text before a token is chosen.
    """
    new: list[int] = []
    choices: tuple[list[int], list[int]] = ([], [])
    given: dict[int, torch.Tensor] = {}
    members = {layer: columns.tolist() for layer, columns in neurons.by_layer().items()}

    def remember(layer: int, activations: torch.Tensor) -> torch.Tensor:
        given[layer] = activations[0].clone()
        return activations

    def overwrite(layer: int, activations: torch.Tensor) -> torch.Tensor:
        patched = activations.clone()
        neurons = members.get(layer, [])
        positions = [position for position in range(activations.shape[1]) if covered(position)]
        own = activations[0, positions][:, neurons]
        other = own if source is None else given[layer][positions][:, neurons]
        new = change(layer, positions, neurons, own, other)
        for index, position in enumerate(positions):
            patched[0, position, neurons] = new[index]
        return patched

    while len(new) < N_NEW and (not new or new[-1] != 2):
        text = [*prompt, *new]
        if source is not None:
            choices[0].append(choose(adjust(text, read(source, text, remember)), len(new)))
        choices[1].append(choose(adjust(text, read(target, text, lambda _layer, own: own)), len(new)))
        new.append(choose(adjust(text, read(target, text, overwrite)), len(new)))
    return new, *choices


def read_all(
    target: LoadedModel, source: LoadedModel, ids: Sequence[int], neurons: NeuronSet | None, change: Change | None
) -> torch.Tensor:
    """All logits of one text with chosen neurons changed at every position; of the plain target without neurons."""
    given: dict[int, torch.Tensor] = {}
    members = {} if neurons is None else {layer: columns.tolist() for layer, columns in neurons.by_layer().items()}
    positions = list(range(len(ids)))

    def overwrite(layer: int, activations: torch.Tensor) -> torch.Tensor:
        patched = activations.clone()
        chosen = members.get(layer, [])
        if chosen and change is not None:
            own, other = activations[0][:, chosen], given[layer][:, chosen]
            patched[0][:, chosen] = change(layer, positions, chosen, own, other)
        return patched

    def remember(layer: int, activations: torch.Tensor) -> torch.Tensor:
        given[layer] = activations[0].clone()
        return activations

    read_whole(source, ids, remember)
    return read_whole(target, ids, overwrite)


def random_sets(seed: int, sizes: Sequence[int], shape: Shape = SHAPE) -> list[NeuronSet]:
    generator = np.random.default_rng(seed)
    return [NeuronSet.from_ids(shape, generator.choice(shape.size, size=size, replace=False)) for size in sizes]


def donated(
    _layer: int, _positions: list[int], _neurons: list[int], _own: torch.Tensor, other: torch.Tensor
) -> torch.Tensor:
    return other
