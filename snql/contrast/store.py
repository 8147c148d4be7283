"""Bringing what a run collected into its database, or into shards beside it, chunk by chunk."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from snql.contrast.tokens import Chunk, Layout, chunk_rows, read_chunk
from snql.db import activations
from snql.db.connection import Database


def store_chunks(
    db: Database, run_id: int, layout: Layout, files: Sequence[Path], store: str, first: int = 0
) -> Iterator[int]:
    """Store the chunks from ``first`` on; yields how many it has just committed: a large one, or several small ones.

    files: what the batches of texts left (:func:`snql.contrast.tokens.encode_batch`), in order. store: rows or parquet.
    """
    waiting: list[tuple[Chunk, pa.Table, str | None]] = []
    for chunk in layout.chunks[first:]:
        rows, file = chunk_rows(layout, chunk, *read_chunk(files, chunk)), None
        if store == "parquet":
            file, rows = activations.write_shard(db.path, run_id, chunk.index, rows)
        waiting.append((chunk, rows, file))
        if sum(len(rows) for _, rows, _ in waiting) > layout.chunk_rows // 2:
            yield _commit(db, run_id, waiting)
            waiting = []
    if waiting:
        yield _commit(db, run_id, waiting)


def _commit(db: Database, run_id: int, chunks: Sequence[tuple[Chunk, pa.Table, str | None]]) -> int:
    with db.write() as connection:
        for chunk, rows, file in chunks:
            activations.commit_chunk(connection, run_id, chunk.index, chunk.layer, rows, file)
    return len(chunks)
