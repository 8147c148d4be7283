"""Neuron statistics of locate runs: writing them ranked, reading rankings."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.digest import frame_digest
from snql.db.tables import delete, insert
from snql.errors import InputError
from snql.neurons.sets import Ids, Shape
from snql.stats.sizes import root_mean_square

DIGESTED = (
    *("layer", "expert", "neuron", "rank", "score"),
    *("mean_before", "mean_after", "std_before", "std_after", "mean_difference", "n_tokens"),
)


@dataclass(frozen=True, eq=False)
class RunScores:
    """A finished locate run's scores and ranks of all neurons by flat id: shape (shape.size,) each.

    scores: NaN where there is none. ranks: 1 for the best, 0 where a neuron is not ranked.
    """

    run: str
    run_id: int
    shape: Shape
    scores: npt.NDArray[np.float64]
    ranks: npt.NDArray[np.int64]

    @cached_property
    def ids(self) -> Ids:
        """Flat ids of the ranked neurons, best first."""
        places = np.flatnonzero(self.ranks)
        ids = np.empty(len(places), dtype=np.int64)
        ids[self.ranks[places] - 1] = places
        return ids


def read_run_scores(db: Database, run: str) -> RunScores:
    """Read a locate run's scores; raises InputError if there is no finished run of that name."""
    with db.reading():
        # With the number itself in the query, the rows of other runs are not read.
        run_id = _run_id(db, run)
        if run_id is None:
            raise _unknown(db, run)
        query = "SELECT layer, expert, neuron, score, rank FROM neuron_statistics WHERE run_id = ?"
        frame = db.frame(query, [run_id])
    columns = {name: frame[name].fill_null(0).to_numpy() for name in ("layer", "expert", "neuron", "rank")}
    n_experts = int(columns["expert"].max()) + 1
    shape = Shape(int(columns["layer"].max()) + 1, (int(columns["neuron"].max()) + 1) * n_experts, n_experts)
    ids = columns["layer"].astype(np.int64) * shape.n_neurons
    ids += columns["expert"].astype(np.int64) * shape.per_expert + columns["neuron"]
    scores, ranks = np.full(shape.size, np.nan), np.zeros(shape.size, dtype=np.int64)
    scores[ids], ranks[ids] = frame["score"].fill_null(float("nan")).to_numpy(), columns["rank"]
    return RunScores(run, run_id, shape, scores, ranks)


def read_ranks(db: Database, run_id: int, shape: Shape) -> npt.NDArray[np.int64]:
    """The ranks of a run that may not be finished, by flat id: 0 for neurons that are not ranked."""
    rows = db.frame(
        "SELECT layer, expert, neuron, rank FROM neuron_statistics WHERE run_id = ? AND rank IS NOT NULL", [run_id]
    )
    ids = rows["layer"].cast(pl.Int64) * shape.n_neurons
    ids += rows["expert"].fill_null(0).cast(pl.Int64) * shape.per_expert + rows["neuron"]
    ranks = np.zeros(shape.size, dtype=np.int64)
    ranks[ids.to_numpy()] = rows["rank"].to_numpy()
    return ranks


def read_scores(db: Database, run: str) -> pl.DataFrame:
    """All statistics of a finished locate run, ordered by layer and neuron."""
    read_shape(db, run)
    return db.frame("SELECT * EXCLUDE (run_id) FROM neuron_scores WHERE run = ? ORDER BY layer, expert, neuron", [run])


def read_shape(db: Database, run: str) -> Shape:
    """The shape of a finished locate run's model; raises InputError if there is no such run."""
    with db.reading():
        ((n_layers, n_experts, n_neurons),) = db.rows(
            "SELECT max(layer) + 1, coalesce(max(expert) + 1, 1), max(neuron) + 1 FROM neuron_statistics "
            "WHERE run_id = ?",
            [_run_id(db, run)],
        )
        if n_layers is None:
            raise _unknown(db, run)
    return Shape(n_layers, n_neurons * n_experts, n_experts)


def read_columns(db: Database, run: str, column: str, shape: Shape) -> npt.NDArray[np.float64]:
    """One statistic of every neuron of a run, such as ``mean_before``: Float64["layers neurons"], NaN where unknown."""
    values = read_scores(db, run)[column].cast(pl.Float64).fill_null(float("nan"))
    return values.to_numpy().reshape(shape.n_layers, shape.n_neurons).copy()


def find_sizes(db: Database, run: str) -> npt.NDArray[np.float64] | None:
    """How large each neuron is by flat id: root mean square of the model before; of the one after, where only it is
    known. Shape (shape.size,), NaN for neurons without tokens. None for a run that has stored none.
    """
    stored = read_scores(db, run)
    tokens = stored["n_tokens"].fill_null(0).to_numpy().astype(np.float64)
    for side in ("before", "after"):
        mean, std = (
            stored[f"{column}_{side}"].cast(pl.Float64).fill_null(float("nan")).to_numpy() for column in ("mean", "std")
        )
        if not np.isnan(mean).all():
            return root_mean_square(mean, std, tokens)
    return None


def read_sizes(db: Database, run: str) -> npt.NDArray[np.float64]:
    """As :func:`find_sizes`; raises InputError for a run that has stored none."""
    if (found := find_sizes(db, run)) is None:
        raise InputError(
            f"run {run!r} has stored no activation statistics, so the sizes of its neurons are not known: name a run "
            f"of `snql locate` on this model, too, as in '{run}:5% | RUN:0'"
        )
    return found


def with_sizes(db: Database, runs: Sequence[str]) -> list[str]:
    """Those of locate runs that have stored how large neurons are, in their order."""
    known = db.rows(
        """
        SELECT DISTINCT r.name FROM runs AS r JOIN neuron_statistics AS s USING (run_id)
        WHERE r.kind = 'locate' AND r.status = 'done' AND r.name IN (SELECT unnest($1::VARCHAR[]))
            AND coalesce(s.mean_before, s.mean_after) IS NOT NULL
        """,
        [list(runs)],
    )
    return [run for run in runs if (run,) in known]


def _run_id(db: Database, run: str) -> int | None:
    found = db.rows("SELECT run_id FROM runs WHERE kind = 'locate' AND status = 'done' AND name = ?", [run])
    return found[0][0] if found else None


def _unknown(db: Database, run: str) -> InputError:
    names = [name for (name,) in db.rows("SELECT run FROM locate_runs ORDER BY run")]
    known = f"its runs are {', '.join(names)}" if names else "it has none; run `snql locate` first"
    return InputError(f"no finished locate run {run!r} in {db.path}: {known}")


def statistics_frame(
    shape: Shape,
    scores: npt.NDArray[np.float64],
    columns: dict[str, npt.NDArray[np.float64]],
    n_tokens: npt.NDArray[np.int64],
    n_ranked_layers: int,
    dropped: npt.NDArray[np.bool_] | None = None,
) -> pl.DataFrame:
    """One row per neuron with its rank: highest score first, equal scores in order of layer, expert and neuron.

    scores, n_tokens and each of ``columns``: shape (layers, neurons). Neurons without tokens get no statistics and, as
    those of layers from ``n_ranked_layers`` on, without a score, or ``dropped`` (same shape), no rank.
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
    ranks_of = pl.Series(np.full(scores.size, True) if dropped is None else ~dropped.ravel())
    place = ["layer", "expert", "neuron"]
    ranked = frame.filter((pl.col("layer") < n_ranked_layers) & reached & pl.col("score").is_not_null() & ranks_of)
    ranks = ranked.sort("score", *place, descending=[True, False, False, False]).select(place)
    ranks = ranks.with_row_index("rank", offset=1).with_columns(pl.col("rank").cast(pl.Int32))
    frame = frame.join(ranks, on=place, how="left").sort(place)
    return frame if shape.routed else frame.with_columns(pl.lit(None, dtype=pl.Int16).alias("expert"))


def copy_inputs(connection: duckdb.DuckDBPyConnection, source_id: int, run_id: int) -> None:
    """Give a run the prompts and models of another one, whose statistics it was made from."""
    for table in ("run_models", "run_prompts", "run_prompt_sets"):
        delete(connection, table, run_id=run_id)
        connection.execute(
            f"INSERT INTO {table} BY NAME SELECT * REPLACE (? AS run_id) FROM {table} WHERE run_id = ?",  # noqa: S608
            [run_id, source_id],
        )


def write_statistics(connection: duckdb.DuckDBPyConnection, run_id: int, statistics: pl.DataFrame) -> None:
    """Insert a run's statistics, with their digest; ``statistics`` as made by :func:`statistics_frame`."""
    insert(connection, "neuron_statistics", statistics.sort("layer", "expert", "neuron"), run_id=run_id)
    connection.execute(
        "UPDATE runs SET statistics_digest = ?::UBIGINT WHERE run_id = ?", [statistics_digest(statistics), run_id]
    )


def statistics_digest(statistics: pl.DataFrame) -> int:
    """The digest of a run's statistics, whatever the order of rows and columns."""
    return frame_digest(statistics.select(DIGESTED))
