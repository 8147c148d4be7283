"""Neuron statistics of locate runs: writing them ranked, reading rankings."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.neurons.sets import Ids, Shape


@dataclass(frozen=True)
class Ranking:
    """A finished locate run's ranking: flat neuron ids, best first, and the model's shape."""

    run: str
    shape: Shape
    ids: Ids


def read_ranking(db: Database, run: str) -> Ranking:
    """Read a locate run's ranking; raises InputError if there is no finished run of that name."""
    ids, _, shape = read_ranked_scores(db, run)
    return Ranking(run, shape, ids)


def read_ranked_scores(db: Database, run: str) -> tuple[Ids, npt.NDArray[np.float64], Shape]:
    """A run's ranked neurons as flat ids, best first, their scores, and the model's shape; raises InputError."""
    shape = _shape(db, run)
    frame = db.frame(
        "SELECT layer, neuron, score FROM neuron_scores WHERE run = ? AND rank IS NOT NULL ORDER BY rank",
        [run],
    )
    layers, neurons = (frame[name].cast(pl.Int64).to_numpy() for name in ("layer", "neuron"))
    return layers * shape.n_neurons + neurons, frame["score"].to_numpy(), shape


def read_scores(db: Database, run: str) -> pl.DataFrame:
    """All statistics of a finished locate run, ordered by layer and neuron."""
    _shape(db, run)
    return db.frame("SELECT * EXCLUDE (run_id) FROM neuron_scores WHERE run = ? ORDER BY layer, neuron", [run])


def _shape(db: Database, run: str) -> Shape:
    ((n_layers, n_neurons),) = db.rows("SELECT max(layer) + 1, max(neuron) + 1 FROM neuron_scores WHERE run = ?", [run])
    if n_layers is None:
        raise InputError(f"no finished locate run {run!r} in {db.path}: {_known(db)}")
    return Shape(n_layers, n_neurons)


def _known(db: Database) -> str:
    names = [name for (name,) in db.rows("SELECT run FROM locate_runs ORDER BY run")]
    return f"its runs are {', '.join(names)}" if names else "it has none; run `snql locate` first"


def statistics_frame(
    scores: npt.NDArray[np.float64],
    columns: dict[str, npt.NDArray[np.float64]],
    n_tokens: int,
    n_ranked_layers: int,
) -> pl.DataFrame:
    """One row per neuron with its rank: highest score first, equal scores in order of layer and neuron.

    scores and each of ``columns``: shape (layers, neurons). Layers from ``n_ranked_layers`` on get no rank.
    """
    n_layers, n_neurons = scores.shape
    frame = pl.DataFrame(
        {
            "layer": np.repeat(np.arange(n_layers, dtype=np.int16), n_neurons),
            "neuron": np.tile(np.arange(n_neurons, dtype=np.int32), n_layers),
            "score": scores.ravel(),
            **{name: values.ravel() for name, values in columns.items()},
        }
    )
    ranked = frame.filter(pl.col("layer") < n_ranked_layers).sort(
        "score", "layer", "neuron", descending=[True, False, False]
    )
    ranks = ranked.select("layer", "neuron").with_row_index("rank", offset=1)
    return (
        frame.join(ranks, on=["layer", "neuron"], how="left")
        .with_columns(pl.col("rank").cast(pl.Int32), pl.lit(n_tokens, dtype=pl.Int64).alias("n_tokens"))
        .fill_nan(None)
        .sort("layer", "neuron")
    )


def write_statistics(connection: duckdb.DuckDBPyConnection, run_id: int, statistics: pl.DataFrame) -> None:
    """Insert a run's statistics; ``statistics`` as made by :func:`statistics_frame`."""
    connection.register("new_statistics", statistics)
    connection.execute(
        """
        INSERT INTO neuron_statistics BY NAME
        SELECT ? AS run_id, NULL::SMALLINT AS expert, * FROM new_statistics ORDER BY layer, neuron
        """,
        [run_id],
    )
    connection.unregister("new_statistics")
