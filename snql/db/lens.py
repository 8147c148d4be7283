"""Rows of lens runs: directions, value vectors and their tokens."""

from collections.abc import Iterable

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.db.tables import insert, replace

_NEURON = {"layer": pl.Int16, "expert": pl.Int16, "neuron": pl.Int32}
DIRECTIONS = {"layer": pl.Int16} | {"n_harmful": pl.Int32, "n_harmless": pl.Int32, "norm": pl.Float64}
VECTORS = {
    **_NEURON,
    **{"norm": pl.Float64, "width": pl.Int32},
    **{"direction_layer": pl.Int16, "refusal_cosine": pl.Float64, "refusal_percentile": pl.Float64},
}
TOKENS = {
    **_NEURON,
    **{"promoted": pl.Boolean, "place": pl.Int16},
    **{"token_id": pl.Int32, "token": pl.String, "logit": pl.Float64},
}


def write_directions(connection: duckdb.DuckDBPyConnection, run_id: int, rows: pl.DataFrame) -> None:
    """Write the directions of a run (DIRECTIONS) in place of those that it had."""
    replace(connection, "lens_directions", rows, run_id=run_id)


def write_layers(
    connection: duckdb.DuckDBPyConnection, run_id: int, layers: Iterable[tuple[pl.DataFrame, pl.DataFrame]]
) -> None:
    """Write what was found of the neurons of each layer: VECTORS and TOKENS."""
    for vectors, tokens in layers:
        insert(connection, "lens_vectors", vectors, run_id=run_id)
        insert(connection, "lens_tokens", tokens, run_id=run_id)


def written_layers(db: Database, run_id: int) -> set[int]:
    """The layers that a run has finished."""
    return {layer for (layer,) in db.rows("SELECT DISTINCT layer FROM lens_vectors WHERE run_id = ?", [run_id])}
