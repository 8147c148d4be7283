"""Token-level activations kept in Parquet files beside the database, under the same view as rows.

The folder is named after the database (``x.duckdb.shards/RUN_ID/CHUNK.parquet``), so both can be moved together.
"""

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from snql.db.durable import replaced
from snql.errors import DatabaseError

if TYPE_CHECKING:
    import pyarrow as pa

NAME = re.compile(r"\d{1,10}/\d{1,10}\.parquet", re.ASCII)
"""What a shard is called below the folder of all shards: RUN_ID/CHUNK.parquet."""

_ROWS_A_GROUP = 262_144


def folder_of(database: Path, run_id: int) -> Path:
    """Where a run's shards are."""
    return root_of(database) / str(run_id)


def write(database: Path, run_id: int, chunk: int, rows: "pa.Table", *, half: bool) -> str:
    """Write one chunk as a shard, its activations in half precision or not; return its name below the shards' folder.

    rows: run_id, layer, expert, neuron, token_index, before, after.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    places = {"run_id": pa.int32(), "layer": pa.int16(), "expert": pa.int16(), "neuron": pa.int32()}
    values = pa.float16() if half else pa.float32()
    schema = pa.schema({**places, "token_index": pa.int32(), "before": values, "after": values})
    name = f"{run_id}/{chunk:06d}.parquet"
    path = root_of(database) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    with replaced(path) as file:
        pq.write_table(
            rows.cast(schema),
            file,
            row_group_size=_ROWS_A_GROUP,
            compression="zstd",
            use_dictionary=False,
            # Layers and neurons repeat and tokens count up: both take next to nothing as differences.
            column_encoding=dict.fromkeys(
                ("run_id", "layer", "expert", "neuron", "token_index"), "DELTA_BINARY_PACKED"
            ),
            write_page_checksum=True,
        )
    return name


def found(database: Path) -> list[str]:
    """The absolute paths of all shards that lie beside a database; nothing that a link leads to."""
    root = root_of(database)
    if not root.is_dir() or root.is_symlink():
        return []
    runs = [run for run in os.scandir(root) if run.is_dir(follow_symlinks=False)]
    files = [file for run in runs for file in os.scandir(run.path) if file.is_file(follow_symlinks=False)]
    names = (Path(file.path).relative_to(root).as_posix() for file in files)
    return sorted(str(root.resolve() / name) for name in names if NAME.fullmatch(name))


def selection(connection: duckdb.DuckDBPyConnection, database: Path) -> tuple[str, list[str]]:
    """The query that reads all shards of finished runs, and their absolute paths; no paths if there are none.

    The query names each layer with its shards, so that a question about one layer opens no shard of another.
    """
    found = connection.execute(
        """
        SELECT layer, list(file ORDER BY run_id, chunk) FROM activation_chunks JOIN runs USING (run_id)
        WHERE file IS NOT NULL AND runs.status = 'done' GROUP BY layer ORDER BY layer
        """
    ).fetchall()
    layers = {int(layer): [_absolute(database, name) for name in names] for layer, names in found}
    parts = [f"SELECT * FROM {_reading(files)} WHERE layer = {layer}" for layer, files in layers.items()]  # noqa: S608
    return " UNION ALL ".join(parts), [file for files in layers.values() for file in files]


def table_of(database: Path, names: Iterable[str]) -> str:
    """These shards, by their names, as a table in SQL."""
    return _reading([_absolute(database, name) for name in names])


def _reading(files: Iterable[str]) -> str:
    listed = ", ".join("'" + file.replace("'", "''") + "'" for file in files)
    return f"read_parquet([{listed}])"


def _absolute(database: Path, name: str) -> str:
    """The path that may be read; raises DatabaseError for a name that snql does not give: it could be of any file."""
    root = os.path.realpath(root_of(database))
    path = os.path.realpath(root_of(database) / name)
    if not NAME.fullmatch(name) or not path.startswith(root + os.sep):
        raise DatabaseError(
            f"{database} names {name!r} as a file of token activations, which snql never does: do not use it"
        )
    return path


def path_of(database: Path, name: str) -> Path:
    """The path of a shard by its name."""
    return root_of(database) / name


def remove(database: Path, run_id: int) -> None:
    """Remove a run's shards, and the folder of all shards when it is the last run with any."""
    shutil.rmtree(folder_of(database, run_id), ignore_errors=True)
    if root_of(database).is_dir() and not any(root_of(database).iterdir()):
        root_of(database).rmdir()


def run_ids(database: Path) -> set[int]:
    """The runs that have a folder of shards."""
    root = root_of(database)
    return {int(path.name) for path in root.iterdir() if path.name.isdigit()} if root.is_dir() else set()


def root_of(database: Path) -> Path:
    """The folder of all shards of a database."""
    return database.with_name(database.name + ".shards")
