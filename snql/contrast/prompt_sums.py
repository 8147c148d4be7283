"""Per-prompt sums of squared differences: from them follow the change scores of any choice of a run's prompts.

A batch leaves one file in the staging folder. Once all are there they go into the database as long rows, some neurons
at a time, in the order of layer and neuron.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from safetensors import SafetensorError, safe_open

from snql.errors import RunError
from snql.neurons.sets import Shape

_BLOCK = {"cpu": 128}
_BLOCK_ELSEWHERE = 4096
ROWS_A_CHUNK = 4_000_000
"""Rows that are brought into the database at once."""


class PromptSums:
    """The sums of the prompts of one batch, in host memory.

    squared: Float32["prompts layers neurons"]; counts: scored tokens that reached each neuron, of the same shape for a
    mixture of experts, else the same for all neurons of a prompt: Int32["prompts"].
    """

    def __init__(self, n_prompts: int, shape: Shape) -> None:
        self.squared = torch.zeros(n_prompts, shape.n_layers, shape.n_neurons)
        routed = shape.routed
        self.counts = torch.zeros(self.squared.shape if routed else (n_prompts,), dtype=torch.int32)
        self._routed = routed

    @torch.inference_mode()
    def add(self, layer: int, before: torch.Tensor, after: torch.Tensor, owners: torch.Tensor) -> None:
        """Add one layer's activations, Float[Tensor, "tokens neurons"] each; owners: the prompt of each token.

        Where NaN says that a token did not reach an expert, it does not count (:meth:`ContrastSums.add`).
        """
        n_prompts = len(self.squared)
        sums = torch.zeros(n_prompts, before.shape[-1], dtype=torch.float64)
        counts = torch.zeros(n_prompts, before.shape[-1], dtype=torch.int32)
        block = _BLOCK.get(before.device.type, _BLOCK_ELSEWHERE)
        for start in range(0, len(before), block):
            part = slice(start, start + block)
            squares = (after[part].double() - before[part].double()).square_().cpu()
            if self._routed:
                reached = ~squares.isnan()
                squares.nan_to_num_(nan=0.0)
                counts.index_add_(0, owners[part], reached.int())
            sums.index_add_(0, owners[part], squares)
        self.squared[:, layer] += sums.float()
        if self._routed:
            self.counts[:, layer] += counts
        elif layer == 0:
            self.counts += torch.bincount(owners, minlength=n_prompts).int()

    @classmethod
    def joined(cls, parts: Sequence["PromptSums"]) -> "PromptSums":
        """The prompts of several parts of a batch, one after the other."""
        found = cls.__new__(cls)
        found._routed = parts[0]._routed
        found.squared = torch.cat([part.squared for part in parts])
        found.counts = torch.cat([part.counts for part in parts])
        return found

    def arrays(self, prompt_ids: Sequence[int]) -> Mapping[str, npt.NDArray[Any]]:
        """What a batch's file holds."""
        return {
            "prompt_ids": np.array(prompt_ids, dtype=np.int32),
            "squared": self.squared.numpy(),
            "counts": self.counts.numpy(),
        }


@dataclass(frozen=True)
class StagedChunk:
    """Some neurons of one layer as the rows of table prompt_sums, and their columns in the layer's activations."""

    layer: int
    columns: slice
    rows: pl.DataFrame


def staged_chunks(files: Sequence[Path], shape: Shape) -> Iterator[StagedChunk]:
    """All that the batches' files hold, by layer and neuron, as rows to be stored.

    Raises RunError if a file is missing or cannot be read.
    """
    with ExitStack() as stack:
        try:
            opened = [stack.enter_context(safe_open(file, framework="numpy")) for file in files]
        except (SafetensorError, OSError) as error:
            raise _damaged(files, error) from error
        ids = np.concatenate([file.get_tensor("prompt_ids") for file in opened])
        order = np.argsort(ids)
        width = max(1, ROWS_A_CHUNK // max(1, len(ids)))
        for layer in range(shape.n_layers):
            for start in range(0, shape.n_neurons, width):
                columns = slice(start, min(start + width, shape.n_neurons))
                squared = np.concatenate([file.get_slice("squared")[:, layer, columns] for file in opened])
                counts = np.concatenate([_counts(file, layer, columns) for file in opened])
                yield StagedChunk(
                    layer, columns, _rows(shape, layer, columns, ids[order], squared[order], counts[order])
                )


def _damaged(files: Sequence[Path], error: Exception) -> RunError:
    folder = files[0].parent if files else Path()
    return RunError(
        f"{folder}: the sums per prompt, which `bootstrap` needs, cannot be read ({' '.join(str(error).split())}): "
        "begin the run again with `force`"
    )


def _counts(file: Any, layer: int, columns: slice) -> npt.NDArray[np.int32]:
    """Int32["prompts neurons"], or Int32["prompts 1"] if they are the same for all neurons."""
    counts = file.get_slice("counts")
    if len(counts.get_shape()) == 1:
        found: npt.NDArray[np.int32] = counts[:][:, None]
        return found
    sliced: npt.NDArray[np.int32] = counts[:, layer, columns]
    return sliced


def _rows(
    shape: Shape,
    layer: int,
    columns: slice,
    ids: npt.NDArray[np.int32],
    squared: npt.NDArray[np.float32],
    counts: npt.NDArray[np.int32],
) -> pl.DataFrame:
    """Long rows, neuron by neuron and in each by prompt."""
    places = np.arange(columns.start, columns.stop)
    experts = np.repeat((places // shape.per_expert).astype(np.int16), len(ids))
    counted = np.broadcast_to(counts, squared.shape)
    frame = pl.DataFrame(
        {
            "layer": pl.repeat(layer, squared.size, dtype=pl.Int16, eager=True),
            "expert": experts if shape.routed else pl.repeat(None, squared.size, dtype=pl.Int16, eager=True),
            "neuron": np.repeat((places % shape.per_expert).astype(np.int32), len(ids)),
            "prompt_id": np.tile(ids, len(places)),
            "n_tokens": np.ascontiguousarray(counted.T).ravel(),
            "squared_differences": np.ascontiguousarray(squared.T).ravel(),
        }
    )
    return frame.filter(pl.col("n_tokens") > 0)
