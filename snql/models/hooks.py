"""Reading and overwriting neurons while a model runs. Hooks are context managers and always come off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from snql.errors import RunError
from snql.models.sites import Hook, Site

Reader = Callable[[int, torch.Tensor], None]
Rewriter = Callable[[int, torch.Tensor], torch.Tensor]
"""Called with a layer's index and its activations: Float[Tensor, "rows tokens neurons"]."""

Rows = int | Callable[[], int]
"""How many rows a batch has, where that changes while the hooks are on."""


@contextmanager
def reading(sites: Sequence[Site], layers: Iterable[int], reader: Reader, n_rows: Rows) -> Iterator[None]:
    """Call ``reader`` with the activations of each of ``layers`` whenever the model runs a batch of ``n_rows``."""

    def hook_of(layer: int) -> Hook:
        def hook(activations: torch.Tensor) -> None:
            reader(layer, _by_row(activations, n_rows))

        return hook

    with _hooked(sites, layers, hook_of):
        yield


@contextmanager
def rewriting(sites: Sequence[Site], layers: Iterable[int], rewriter: Rewriter, n_rows: Rows) -> Iterator[None]:
    """Replace the activations of each of ``layers`` by what ``rewriter`` returns for them.

    Raises RunError if it returns another shape.
    """

    def hook_of(layer: int) -> Hook:
        def hook(activations: torch.Tensor) -> torch.Tensor:
            own = _by_row(activations, n_rows)
            new = rewriter(layer, own)
            if new.shape != own.shape:
                raise RunError(f"layer {layer}: activations of shape {tuple(own.shape)} became {tuple(new.shape)}")
            return new.reshape(activations.shape)

        return hook

    with _hooked(sites, layers, hook_of):
        yield


@contextmanager
def reading_inputs(sites: Sequence[Site], layers: Iterable[int], reader: Reader, n_rows: Rows) -> Iterator[None]:
    """Call ``reader`` with what the MLP of each of ``layers`` reads: Float[Tensor, "rows tokens hidden"]."""

    def hook_of(layer: int) -> Callable[[Any, tuple[torch.Tensor, ...]], None]:
        def hook(_module: Any, inputs: tuple[torch.Tensor, ...]) -> None:
            reader(layer, inputs[0] if inputs[0].ndim > 2 else _by_row(inputs[0], n_rows))

        return hook

    with ExitStack() as stack:
        for layer in layers:
            stack.callback(sites[layer].reader.register_forward_pre_hook(hook_of(layer)).remove)
        yield


@contextmanager
def _hooked(sites: Sequence[Site], layers: Iterable[int], hook_of: Callable[[int], Hook]) -> Iterator[None]:
    with ExitStack() as stack:
        for layer in layers:
            stack.callback(sites[layer].add_hook(hook_of(layer)))
        yield


def _by_row(activations: torch.Tensor, n_rows: Rows) -> torch.Tensor:
    """Some models (OPT, mixtures of experts) run all tokens of a batch as one row: give them their rows back."""
    return activations.reshape(n_rows if isinstance(n_rows, int) else n_rows(), -1, activations.shape[-1])
