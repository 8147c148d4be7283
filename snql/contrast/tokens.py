"""Token-level activations on their way into the database.

Each batch of texts leaves one Parquet file: a row per kept neuron with the lists of its activations under both models,
and a row group per chunk of neurons. So a chunk can be brought together from all batches without sorting anything, and
nothing larger than a chunk is ever in memory.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from snql.neurons.sets import Ids, NeuronSet

ROWS_A_CHUNK = 2_000_000
"""A chunk is one commit: about a second, so that nobody who reads waits for long."""

Values = npt.NDArray[np.float32]
Taken = Mapping[int, tuple[torch.Tensor, torch.Tensor]]
"""By layer: both models' activations of the kept neurons, Float32[Tensor, "tokens kept_neurons"]."""


@dataclass(frozen=True)
class Chunk:
    """Neurons of one layer that are committed together; columns: as in NeuronSet.by_layer; row_group: in each file."""

    index: int
    layer: int
    columns: Ids


@dataclass(frozen=True)
class Layout:
    """How the kept neurons are divided into chunks: of about ``chunk_rows`` rows, so of ``chunk_neurons`` neurons."""

    kept: NeuronSet
    chunk_rows: int
    chunk_neurons: int

    @classmethod
    def of(cls, kept: NeuronSet, n_tokens: int) -> "Layout":
        """For a run with that many scored tokens."""
        return cls(kept, ROWS_A_CHUNK, max(1, ROWS_A_CHUNK // max(1, n_tokens)))

    @cached_property
    def columns(self) -> dict[int, Ids]:
        """The kept neurons of each layer that has any."""
        return self.kept.by_layer()

    @cached_property
    def chunks(self) -> list[Chunk]:
        """All chunks, by layer and neuron; a chunk's index is its row group in each batch's file."""
        parts = [
            (layer, columns[start : start + self.chunk_neurons])
            for layer, columns in self.columns.items()
            for start in range(0, len(columns), self.chunk_neurons)
        ]
        return [Chunk(index, layer, columns) for index, (layer, columns) in enumerate(parts)]


def encode_batch(layout: Layout, parts: Sequence[Taken]) -> bytes:
    """One batch's file; ``parts`` follow each other in tokens."""
    n_tokens = sum(len(part[next(iter(layout.columns))][0]) for part in parts)
    kind = pa.list_(pa.float32(), n_tokens)
    schema = pa.schema({"layer": pa.int16(), "column": pa.int32(), "before": kind, "after": kind})
    file = BytesIO()
    with pq.ParquetWriter(file, schema, compression="none", use_dictionary=False, write_page_checksum=True) as writer:
        for chunk in layout.chunks:
            lists = [_lists(layout, chunk, [part[chunk.layer][side] for part in parts]) for side in (0, 1)]
            layers = np.full(len(chunk.columns), chunk.layer, dtype=np.int16)
            writer.write_table(pa.table([layers, chunk.columns.astype(np.int32), *lists], schema=schema))
    return file.getvalue()


def _lists(layout: Layout, chunk: Chunk, parts: Sequence[torch.Tensor]) -> pa.Array:
    """A list for each neuron of a chunk, from parts that follow each other in tokens."""
    start = int(np.searchsorted(layout.columns[chunk.layer], chunk.columns[0]))
    mine = torch.cat([part[:, start : start + len(chunk.columns)] for part in parts]).T
    return pa.FixedSizeListArray.from_arrays(pa.array(mine.contiguous().numpy().ravel()), mine.shape[1])


def read_chunk(files: Sequence[Path], chunk: Chunk) -> tuple[Values, Values]:
    """A chunk's activations from all batches, in their order: Float32["neurons tokens"] under both models."""
    parts = [_read(file, chunk) for file in files]
    before, after = (np.concatenate([part[side] for part in parts], axis=1) for side in (0, 1))
    return before, after


def chunk_rows(layout: Layout, chunk: Chunk, before: Values, after: Values) -> pa.Table:
    """A chunk as long rows, neuron by neuron: layer, expert, neuron, token_index, before, after.

    before and after: Float32["neurons tokens"]. Of a mixture of experts, only tokens that reached the expert in both
    models have rows.
    """
    n_neurons, n_tokens = before.shape
    shape = layout.kept.shape
    experts = np.repeat((chunk.columns // shape.per_expert).astype(np.int16), n_tokens)
    rows = pa.table(
        {
            "layer": np.full(before.size, chunk.layer, dtype=np.int16),
            "expert": experts if shape.routed else pa.nulls(before.size, pa.int16()),
            "neuron": np.repeat((chunk.columns % shape.per_expert).astype(np.int32), n_tokens),
            "token_index": np.tile(np.arange(n_tokens, dtype=np.int32), n_neurons),
            "before": before.ravel(),
            "after": after.ravel(),
        }
    )
    if shape.routed:
        return rows.filter(pa.array(~(np.isnan(before) | np.isnan(after)).ravel()))
    return rows


def _read(path: Path, chunk: Chunk) -> list[Values]:
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        group = file.read_row_group(chunk.index, columns=["before", "after"])
    lists = [group[side].combine_chunks().flatten().to_numpy() for side in ("before", "after")]
    return [values.reshape(len(chunk.columns), -1) for values in lists]
