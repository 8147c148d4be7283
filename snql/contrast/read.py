"""Models read finished texts; the activations of the scored positions go to a consumer, layer by layer."""

from collections.abc import Callable, Iterable, Sequence
from functools import partial

import torch

from snql.contrast.positions import Text
from snql.contrast.sums import ContrastSums
from snql.generation.batch import left_padded
from snql.models import hooks
from snql.models.loaded import LoadedModel

Reader = Callable[[int, torch.Tensor], None]
"""Called with a layer and its activations: Float[Tensor, "scored_tokens neurons"], text by text."""

Consumer = Callable[[int, torch.Tensor, torch.Tensor], None]
"""Called with a layer and both models' activations there: Float[Tensor, "scored_tokens neurons"], text by text."""


def read_batch(model: LoadedModel, texts: Sequence[Text], layers: Iterable[int], reader: Reader) -> None:
    """One model reads one batch of texts."""
    batch = left_padded([text.token_ids for text in texts], model.base.pad_id, model.base.device)
    width = batch.ids.shape[1]
    chosen = torch.zeros(batch.mask.shape, dtype=torch.bool)
    for row, text in enumerate(texts):
        offset = width - len(text.token_ids)
        chosen[row, [offset + position for position in text.scored]] = True
    chosen = chosen.to(batch.mask.device)

    def take(layer: int, activations: torch.Tensor) -> None:
        reader(layer, activations[chosen.to(activations.device)])

    with hooks.reading(model.sites, layers, take, len(texts)):
        model.logits(batch.ids, batch.mask, batch.positions)


def contrast_batch(
    before: LoadedModel, after: LoadedModel, texts: Sequence[Text], layers: Iterable[int], consumer: Consumer
) -> None:
    """Both models read one batch of texts; only the first model's scored activations are held meanwhile."""
    layers = list(layers)
    held: dict[int, torch.Tensor] = {}
    read_batch(before, texts, layers, held.__setitem__)
    read_batch(after, texts, layers, lambda layer, activations: consumer(layer, held.pop(layer), activations))


def contrast_sums(before: LoadedModel, after: LoadedModel, batches: Iterable[Sequence[Text]]) -> ContrastSums:
    """Sums over all scored tokens of all batches, for every layer, on the models' device."""
    shape = before.shape
    sums = ContrastSums(shape.n_layers, shape.n_neurons)
    add = partial(sums.add, routed=shape.routed)
    for batch in batches:
        contrast_batch(before, after, batch, range(shape.n_layers), add)
    return sums
