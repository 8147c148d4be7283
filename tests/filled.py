"""A database with rows in every table, whatever tables there are: row i holds i, or a text with i, in every column."""

from hashlib import sha256

import duckdb
import pyarrow as pa

from snql.db import activations, catalog, runs, shards
from snql.db.catalog import quoted
from snql.db.connection import Database
from snql.db.manifest import Column

from .synthetic import add_locate_run

ROWS = (21, 22, 23)
ALLOWED = {"status": "done", "role": "patched", "finish_reason": "stop", "stage": "keep"}
"""Columns whose values a CHECK constrains."""

LISTS: dict[str, object] = {"DOUBLE[]": 0.1, "BOOLEAN[]": False}
HOSTILE = 'it\'s "{}"\n<b>ünïcode</b>,\t\x1b[31m;--'


def value(column: Column, i: int) -> object:
    """What row i holds in a column; related columns of different tables hold the same."""
    if column.name in ALLOWED:
        return ALLOWED[column.name]
    if column.name in ("file", "kept_set_id"):
        return None
    if column.name == "kind":
        return "divergence"  # effects of a patch run are to follow from its judgements
    if column.name == "config_sha256":
        return sha256(f'{{"i": {i}}}'.encode()).hexdigest()
    if column.type in LISTS:
        return [] if i == ROWS[0] else [LISTS[column.type], LISTS[column.type]]
    if column.type.endswith("[]"):
        return [] if i == ROWS[0] else [None, i] if column.type == "INTEGER[]" else [HOSTILE.format(i)]
    if column.type == "JSON":
        return f'{{"i": {i}}}'
    if column.type == "TIMESTAMP":
        return f"2026-01-01 00:00:{i}.000123"
    if column.type == "VARCHAR":
        return HOSTILE.format(i)
    return 2**64 - i if column.type == "UBIGINT" else i % 2 == 0 if column.type == "BOOLEAN" else i + 0.1


def fill(connection: duckdb.DuckDBPyConnection) -> None:
    """Three rows in each table but the ledger, the last first; references between tables hold."""
    for table, columns in catalog.columns(connection).items():
        for i in reversed(ROWS) if table != "snql_migrations" else ():
            names = ", ".join(quoted(column.name) for column in columns)
            values = [int(v) if isinstance(v := value(c, i), float) and "INT" in c.type else v for c in columns]
            marks = ", ".join("?" * len(columns))
            connection.execute(f"INSERT INTO {quoted(table)} ({names}) VALUES ({marks})", values)


def add_shards(db: Database, run_id: int) -> None:
    """Two shards, each of two activations of one layer, recorded as the run would."""
    rows = pa.table(
        {
            "layer": pa.array([0, 0, 1, 1], pa.int16()),
            "expert": pa.array([None] * 4, pa.int16()),
            "neuron": pa.array([2, 2, 0, 0], pa.int32()),
            "token_index": pa.array([0, 1, 0, 1], pa.int32()),
            "before": pa.array([0.5, -1.0, 2.0, 0.25], pa.float32()),
            "after": pa.array([1.5, 0.0, -2.0, 8.0], pa.float32()),
        }
    )
    made = [activations.write_shard(db.path, run_id, layer, rows.slice(2 * layer, 2)) for layer in (0, 1)]
    with db.write() as connection:
        for layer, (name, written) in enumerate(made):
            activations.commit_chunk(connection, run_id, layer, layer, written, name)
        connection.execute("INSERT INTO run_prompts VALUES (?, 21, 0, 'text', [1], NULL)", [run_id])
        variant = "(run_id, variant_id, name, role) VALUES (?, 0, 'before', 'before')"
        connection.execute(f"INSERT INTO variants {variant}", [run_id])
        connection.execute("INSERT INTO completions VALUES (?, 0, 21, 'x', [7], 'length', 0, NULL, NULL)", [run_id])
        for index in range(2):
            connection.execute("INSERT INTO scored_tokens VALUES (?, ?, 21, ?, 7, 'tok')", [run_id, index, 4 + index])


_MADE: list[tuple[int, bytes, dict[str, bytes]]] = []
"""The run's id, the file and its shards by name, once they were made in this process."""


def fill_database(db: Database) -> int:
    """Every table filled, sequences used, and a locate run with a shard, in a new file; returns the run's id."""
    root = shards.root_of(db.path)
    if db.path.exists():
        return _fill_database(db)
    if _MADE:
        run_id, data, files = _MADE[0]
        db.path.write_bytes(data)
        for name, shard in files.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_bytes(shard)
        return run_id
    run_id = _fill_database(db)
    db.close()
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*.parquet")}
    _MADE.append((run_id, db.path.read_bytes(), files))
    return run_id


def _fill_database(db: Database) -> int:
    import numpy as np

    with db.write() as connection:
        fill(connection)
    scores = np.random.default_rng(3).gamma(2.0, size=(2, 5))
    run_id = add_locate_run(db, "located", scores, n_ranked_layers=1)
    gone = add_locate_run(db, "gone", scores)
    add_shards(db, run_id)
    with db.write() as connection:
        runs.delete_run(connection, gone)
    return run_id
