"""Token-level activations in the database: rows or shards, committed chunk by chunk with a digest of what they hold."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa

from snql.db import shards
from snql.db.connection import Database
from snql.db.damage import damage
from snql.db.digest import row_digest
from snql.db.tables import insert
from snql.errors import DatabaseError

MOST_ROWS = 100_000_000
"""Beyond this ``auto`` keeps activations in half-precision shards: about 0.8 GB of rows."""

_HALF_MAX = 65504.0

SIDES = ("before", "after")


@dataclass(frozen=True)
class ChunkRow:
    """One committed chunk. file: the name of its shard, None for rows."""

    chunk: int
    layer: int
    n_rows: int
    digest: int | None
    file: str | None


def store_of(asked: str, n_rows: int) -> str:
    """rows or parquet: what was asked for, or what the number of rows says."""
    if asked != "auto":
        return asked
    return "rows" if n_rows <= MOST_ROWS else "parquet"


def _fits_half(rows: pa.Table) -> bool:
    """Whether no activation is too large for half precision."""
    return all(float(np.abs(rows[side].to_numpy()).max(initial=0)) <= _HALF_MAX for side in SIDES)


def _halved(rows: pa.Table) -> pa.Table:
    """The rows with activations rounded to half precision, as float32."""
    for side in SIDES:
        rounded = rows[side].to_numpy().astype(np.float16).astype(np.float32)
        rows = rows.set_column(rows.schema.get_field_index(side), side, pa.array(rounded))
    return rows


def commit_chunk(
    connection: duckdb.DuckDBPyConnection, run_id: int, chunk: int, layer: int, rows: pa.Table, file: str | None
) -> None:
    """Record one chunk, and insert its rows in their order unless the shard ``file`` holds them.

    rows: layer, expert, neuron, token_index, before, after, as they will be read.
    """
    if file is None:
        insert(connection, "activation_rows", rows, run_id=run_id)
    row = ChunkRow(chunk=chunk, layer=layer, n_rows=len(rows), digest=digest(rows), file=file)
    insert(connection, "activation_chunks", [row], run_id=run_id)


def write_shard(database: Path, run_id: int, chunk: int, rows: pa.Table) -> tuple[str, pa.Table]:
    """Write one chunk as a shard; return its name and the rows as they will be read.

    Activations are rounded to half precision, unless one of them is too large for it.
    """
    half = _fits_half(rows)
    rows = _halved(rows) if half else rows
    runs = pa.array(np.full(len(rows), run_id, dtype=np.int32))
    name = shards.write(database, run_id, chunk, rows.add_column(0, "run_id", runs), half=half)
    return name, rows


def write_tokens(connection: duckdb.DuckDBPyConnection, run_id: int, tokens: pl.DataFrame) -> None:
    """Insert scored tokens: token_index, prompt_id, position, token_id, token."""
    insert(connection, "scored_tokens", tokens, run_id=run_id)


def stored_chunks(db: Database, run_id: int) -> list[ChunkRow]:
    """The committed chunks of a run, in order."""
    query = "SELECT * EXCLUDE (run_id) FROM activation_chunks WHERE run_id = ? ORDER BY chunk"
    return [ChunkRow(**row) for row in db.frame(query, [run_id]).iter_rows(named=True)]


def tables_of(db: Database, run_id: int) -> dict[int, str]:
    """The table, as SQL, that holds a run's activations of each layer that has any: rows, or the shards of that layer.

    The view ``token_activations`` shows the same rows; it opens the shards of all layers and runs to do so.
    """
    found = db.rows(
        "SELECT layer, list(file ORDER BY chunk) FROM activation_chunks WHERE run_id = ? GROUP BY layer", [run_id]
    )
    return {layer: _table(db, [name for name in files if name is not None]) for layer, files in found}


@contextmanager
def activations_read(db: Database) -> Iterator[None]:
    """Say in one line that a shard is missing or damaged, whoever found out. Raises DatabaseError."""
    try:
        yield
    except (duckdb.IOException, duckdb.InvalidInputException, duckdb.PermissionException) as error:
        if damage(error, db.path) is not None:
            raise
        raise DatabaseError(
            f"a Parquet file with token activations of {db.path} cannot be read: `snql db check` says which; move the "
            "folder .shards together with the database"
        ) from error


def _table(db: Database, files: list[str]) -> str:
    return shards.table_of(db.path, files) if files else "activation_rows"


def digest(rows: pa.Table) -> int:
    """A digest of where each row is and of the bits of its two activations (:mod:`snql.db.digest`).

    rows: layer, expert, neuron, token_index, before, after (float32).
    """
    if not len(rows):
        return 0
    expert = rows["expert"].fill_null(-1).to_numpy().astype(np.int64)
    place = (rows["layer"].to_numpy().astype(np.int64) << 48) ^ (expert << 32) ^ rows["neuron"].to_numpy()
    before, after = (rows[side].to_numpy().astype(np.float32, copy=False).view(np.uint32) for side in SIDES)
    values = (before.astype(np.uint64) << np.uint64(32)) | after
    return row_digest((place.view(np.uint64), rows["token_index"].to_numpy().astype(np.uint64), values))
