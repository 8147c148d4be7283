"""Reading and overwriting neurons while a model runs. Hooks are context managers and always come off."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from snql.errors import RunError

Reader = Callable[[int, torch.Tensor], None]
Rewriter = Callable[[int, torch.Tensor], torch.Tensor]
"""Called with a layer's index and its activations: Float[Tensor, "rows tokens neurons"]."""


@contextmanager
def reading(sites: Sequence[nn.Linear], layers: Iterable[int], reader: Reader) -> Iterator[None]:
    """Call ``reader`` with the activations of each of ``layers`` whenever the model runs."""

    def read(layer: int) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], None]:
        return lambda _module, inputs: reader(layer, inputs[0])

    handles = [sites[layer].register_forward_pre_hook(read(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


@contextmanager
def rewriting(sites: Sequence[nn.Linear], layers: Iterable[int], rewriter: Rewriter) -> Iterator[None]:
    """Replace the activations of each of ``layers`` by what ``rewriter`` returns for them.

    Raises RunError if it returns another shape.
    """

    def rewrite(layer: int) -> Callable[[nn.Module, tuple[torch.Tensor, ...]], tuple[torch.Tensor]]:
        def hook(_module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
            new = rewriter(layer, inputs[0])
            if new.shape != inputs[0].shape:
                raise RunError(
                    f"layer {layer}: activations of shape {tuple(inputs[0].shape)} became {tuple(new.shape)}"
                )
            return (new,)

        return hook

    handles = [sites[layer].register_forward_pre_hook(rewrite(layer)) for layer in layers]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()
