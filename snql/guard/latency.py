"""What reading adds to a prefill: pairs of prefills of one prompt, without and with hooks and arithmetic."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

import numpy as np
import torch

from snql.generation.stream import Stream
from snql.lens.path import streams
from snql.models import hooks
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet

Reading = Callable[[], AbstractContextManager[list[torch.Tensor]]]
"""Puts hooks on for a block; each adds its share of the logit to the list."""


@dataclass(frozen=True)
class Added:
    """Milliseconds that reading adds: the median over pairs of prefills, and their quartiles."""

    milliseconds: float
    low: float
    high: float


def of_neurons(model: LoadedModel, neurons: NeuronSet) -> Reading:
    """Read these neurons at the last token: a product of each layer's with as many weights."""
    columns = {layer: torch.from_numpy(places) for layer, places in neurons.by_layer().items()}
    device = model.base.device
    weights = {layer: (places.to(device), torch.zeros(len(places), device=device)) for layer, places in columns.items()}

    @contextmanager
    def reading() -> Iterator[list[torch.Tensor]]:
        shares: list[torch.Tensor] = []

        def take(layer: int, activations: torch.Tensor) -> None:
            places, own = (each.to(activations.device) for each in weights[layer])
            shares.append(activations[0, -1, places].float() @ own)

        with hooks.reading(model.sites, weights, take, 1):
            yield shares

    return reading


def of_stream(model: LoadedModel, layer: int) -> Reading:
    """Read the residual stream after one layer at the last token."""

    @contextmanager
    def reading() -> Iterator[list[torch.Tensor]]:
        shares: list[torch.Tensor] = []

        def take(_: int, stream: torch.Tensor) -> None:
            last = stream[0, -1].float()
            shares.append(last @ torch.zeros_like(last))

        with streams(model, take, (layer,)):
            yield shares

    return reading


def added(model: LoadedModel, ids: Sequence[int], reading: Reading, repeats: int) -> Added | None:
    """Time so many pairs after one that is not counted; None for no pairs."""
    if not repeats:
        return None
    found = []
    for _ in range(repeats + 1):
        plain = _timed(model, ids, None)
        with reading() as shares:
            found.append(_timed(model, ids, shares) - plain)
    low, middle, high = np.quantile(found[1:], [0.25, 0.5, 0.75])
    return Added(float(middle), float(low), float(high))


def _timed(model: LoadedModel, ids: Sequence[int], shares: list[torch.Tensor] | None) -> float:
    stream = Stream(model, [ids])
    _wait(model)
    start = time.perf_counter()
    stream.logits()
    if shares is not None:
        sum(float(share) for share in shares)
    _wait(model)
    return 1000 * (time.perf_counter() - start)


def _wait(model: LoadedModel) -> None:
    if model.base.device.type == "cuda":
        torch.cuda.synchronize(model.base.device)
