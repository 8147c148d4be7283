"""Neuron statistics of locate runs: writing them ranked, reading rankings."""

from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.digest import frame_digest
from snql.errors import InputError
from snql.neurons.sets import Ids, Shape

DIGESTED = (
    "layer", "expert", "neuron", "rank", "score", "mean_before", "mean_after", "std_before", "std_after",
    "mean_difference", "n_tokens",
)  # fmt: skip


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
    shape = read_shape(db, run)
    frame = db.frame(
        "SELECT layer, expert, neuron, score FROM neuron_scores WHERE run = ? AND rank IS NOT NULL ORDER BY rank",
        [run],
    )
    place = pl.col("expert").fill_null(0).cast(pl.Int64) * shape.per_expert + pl.col("neuron")
    ids = frame.select(pl.col("layer").cast(pl.Int64) * shape.n_neurons + place).to_series().to_numpy()
    return ids, frame["score"].to_numpy(), shape


def read_scores(db: Database, run: str) -> pl.DataFrame:
    """All statistics of a finished locate run, ordered by layer and neuron."""
    read_shape(db, run)
    return db.frame("SELECT * EXCLUDE (run_id) FROM neuron_scores WHERE run = ? ORDER BY layer, expert, neuron", [run])


def read_shape(db: Database, run: str) -> Shape:
    """The shape of a finished locate run's model; raises InputError if there is no such run."""
    ((n_layers, n_experts, n_neurons),) = db.rows(
        "SELECT max(layer) + 1, coalesce(max(expert) + 1, 1), max(neuron) + 1 FROM neuron_scores WHERE run = ?", [run]
    )
    if n_layers is None:
        raise InputError(f"no finished locate run {run!r} in {db.path}: {_known(db)}")
    return Shape(n_layers, n_neurons * n_experts, n_experts)


def read_columns(db: Database, run: str, column: str, shape: Shape) -> npt.NDArray[np.float64]:
    """One statistic of every neuron of a run, such as ``mean_before``: Float64["layers neurons"], NaN where unknown."""
    values = read_scores(db, run)[column].cast(pl.Float64).fill_null(float("nan"))
    return values.to_numpy().reshape(shape.n_layers, shape.n_neurons).copy()


def _known(db: Database) -> str:
    names = [name for (name,) in db.rows("SELECT run FROM locate_runs ORDER BY run")]
    return f"its runs are {', '.join(names)}" if names else "it has none; run `snql locate` first"


def statistics_frame(
    shape: Shape,
    scores: npt.NDArray[np.float64],
    columns: dict[str, npt.NDArray[np.float64]],
    n_tokens: npt.NDArray[np.int64],
    n_ranked_layers: int,
) -> pl.DataFrame:
    """One row per neuron with its rank: highest score first, equal scores in order of layer, expert and neuron.

    scores, n_tokens and each of ``columns``: shape (layers, neurons). Neurons without tokens get no statistics and, as
    those of layers from ``n_ranked_layers`` on, no rank.
    """
    n_layers, n_neurons = scores.shape
    experts = np.repeat(np.arange(shape.n_experts, dtype=np.int16), shape.per_expert)
    frame = pl.DataFrame(
        {
            "layer": np.repeat(np.arange(n_layers, dtype=np.int16), n_neurons),
            "expert": np.tile(experts, n_layers),
            "neuron": np.tile(np.arange(shape.per_expert, dtype=np.int32), n_layers * shape.n_experts),
            "score": scores.ravel(),
            **{name: values.ravel() for name, values in columns.items()},
            "n_tokens": n_tokens.ravel(),
        }
    )
    reached = pl.col("n_tokens") > 0
    statistics = pl.col("score", *columns)
    frame = frame.with_columns(pl.when(reached).then(statistics)).fill_nan(None)
    place = ["layer", "expert", "neuron"]
    ranked = frame.filter((pl.col("layer") < n_ranked_layers) & reached)
    ranks = ranked.sort("score", *place, descending=[True, False, False, False]).select(place)
    ranks = ranks.with_row_index("rank", offset=1).with_columns(pl.col("rank").cast(pl.Int32))
    frame = frame.join(ranks, on=place, how="left").sort(place)
    return frame if shape.n_experts > 1 else frame.with_columns(pl.lit(None, dtype=pl.Int16).alias("expert"))


def write_statistics(connection: duckdb.DuckDBPyConnection, run_id: int, statistics: pl.DataFrame) -> None:
    """Insert a run's statistics, with their digest; ``statistics`` as made by :func:`statistics_frame`."""
    connection.register("new_statistics", statistics)
    connection.execute(
        """
        INSERT INTO neuron_statistics BY NAME
        SELECT ? AS run_id, * FROM new_statistics ORDER BY layer, expert, neuron
        """,
        [run_id],
    )
    connection.unregister("new_statistics")
    connection.execute(
        "UPDATE runs SET statistics_digest = ?::UBIGINT WHERE run_id = ?", [statistics_digest(statistics), run_id]
    )


def statistics_digest(statistics: pl.DataFrame) -> int:
    """The digest of a run's statistics, whatever the order of rows and columns."""
    return frame_digest(statistics.select(DIGESTED))
