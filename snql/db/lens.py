"""Rows of lens runs: directions, value vectors and their tokens."""

import duckdb
import polars as pl

from snql.db.connection import Database

DIRECTIONS = {
    "layer": pl.Int16, "n_harmful": pl.Int32, "n_harmless": pl.Int32, "norm": pl.Float64,
}  # fmt: skip
VECTORS = {
    "layer": pl.Int16, "expert": pl.Int16, "neuron": pl.Int32, "norm": pl.Float64, "width": pl.Int32,
    "direction_layer": pl.Int16, "refusal_cosine": pl.Float64, "refusal_percentile": pl.Float64,
}  # fmt: skip
TOKENS = {
    "layer": pl.Int16, "expert": pl.Int16, "neuron": pl.Int32, "promoted": pl.Boolean, "place": pl.Int16,
    "token_id": pl.Int32, "token": pl.String, "logit": pl.Float64,
}  # fmt: skip


def write_directions(connection: duckdb.DuckDBPyConnection, run_id: int, rows: pl.DataFrame) -> None:
    """Write the directions of a run (DIRECTIONS) in place of those that it had."""
    connection.execute("DELETE FROM lens_directions WHERE run_id = ?", [run_id])
    _insert(connection, "lens_directions", run_id, rows)


def write_layer(
    connection: duckdb.DuckDBPyConnection, run_id: int, vectors: pl.DataFrame, tokens: pl.DataFrame
) -> None:
    """Write what was found of the neurons of one layer: VECTORS and TOKENS."""
    _insert(connection, "lens_vectors", run_id, vectors)
    _insert(connection, "lens_tokens", run_id, tokens)


def written_layers(db: Database, run_id: int) -> set[int]:
    """The layers that a run has finished."""
    return {layer for (layer,) in db.rows("SELECT DISTINCT layer FROM lens_vectors WHERE run_id = ?", [run_id])}


def _insert(connection: duckdb.DuckDBPyConnection, table: str, run_id: int, rows: pl.DataFrame) -> None:
    connection.register("new_rows", rows)
    connection.execute(
        f"INSERT INTO {table} BY NAME SELECT ?::INTEGER AS run_id, * FROM new_rows",  # noqa: S608  (names of this file)
        [run_id],
    )
    connection.unregister("new_rows")
