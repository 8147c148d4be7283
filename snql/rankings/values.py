"""Values of neurons that expressions compare: columns of ``neuron_scores``, and of ``value_vectors`` of a lens run."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.prompts import locate_runs
from snql.errors import InputError
from snql.neurons.sets import Shape

PLACES = ("layer", "neuron", "expert")
STATISTICS = (
    *("score", "rank", "mean_before", "mean_after", "mean_difference", "std_before", "std_after"),
    "n_tokens",
)
LENS = ("norm", "refusal_cosine", "refusal_percentile")


@dataclass(frozen=True)
class Source:
    """Whose columns are compared. kind: ``locate`` or ``lens``."""

    run: str
    kind: str

    @property
    def columns(self) -> tuple[str, ...]:
        """Those that a condition may name; a locate run's neurons have those of the last lens run, too."""
        return (*PLACES, *STATISTICS, *LENS) if self.kind == "locate" else (*PLACES, *LENS)

    def __str__(self) -> str:
        return f"use {', '.join(self.columns)}"


def source_of(db: Database, run: str) -> Source:
    """A finished locate run of that name, else a finished lens run; raises InputError if there is neither."""
    if locate_runs(db, [run]):
        return Source(run, "locate")
    known = [name for (name,) in db.rows("SELECT name FROM runs WHERE kind = 'lens' AND status = 'done' ORDER BY name")]
    if run in known:
        return Source(run, "lens")
    located = [name for (name,) in db.rows("SELECT run FROM locate_runs ORDER BY run")]
    raise InputError(
        f"no finished locate or lens run {run!r} in {db.path}: "
        + (f"it has {', '.join((*located, *known))}" if located or known else "it has none; run `snql locate` first")
    )


def read_values(
    db: Database, source: Source, columns: Sequence[str], shape: Shape
) -> dict[str, npt.NDArray[np.float64]]:
    """These columns of all neurons by flat id: shape (shape.size,) each, NaN where unknown.

    Raises InputError for a run of a model of another shape, or columns of lens runs where there is none.
    """
    lens = any(column in LENS for column in columns)
    frame = None
    if source.kind == "locate":
        query = "SELECT * EXCLUDE (run, run_id) FROM neuron_scores WHERE run = ?"
        frame = db.frame(query, [source.run])
        _check_shape(frame, source, shape)
    if lens or frame is None:
        name = None if source.kind == "locate" else source.run
        parameters = {"run": name, "n_layers": shape.n_layers, "n_neurons": shape.n_neurons}
        vectors = db.frame(scripts.query("lens_values"), parameters)
        if vectors.is_empty():
            whose = "no finished lens run is" if name is None else f"lens run {name!r} is not"
            raise InputError(f"{whose} of a model with {shape} neurons: `snql lens` reads value vectors")
        place = ["layer", "expert", "neuron"]
        frame = vectors if frame is None else frame.join(vectors, on=place, how="left", nulls_equal=True)
    return _by_id(frame, columns, shape)


def _check_shape(frame: pl.DataFrame, source: Source, shape: Shape) -> None:
    """Raise InputError unless the rows are those of a model of that shape."""
    last = (frame["layer"].max(), frame["neuron"].max(), frame["expert"].max())
    if last != (shape.n_layers - 1, shape.per_expert - 1, shape.n_experts - 1 if shape.routed else None):
        raise InputError(f"run {source.run!r} is not of a model with {shape} neurons")


def _by_id(frame: pl.DataFrame, columns: Sequence[str], shape: Shape) -> dict[str, npt.NDArray[np.float64]]:
    ids = frame["layer"].cast(pl.Int64) * shape.n_neurons
    ids += frame["expert"].fill_null(0).cast(pl.Int64) * shape.per_expert + frame["neuron"]
    found = {}
    for column in columns:
        values = np.full(shape.size, np.nan)
        values[ids.to_numpy()] = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
        found[column] = values
    return found
