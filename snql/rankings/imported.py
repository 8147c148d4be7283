"""``snql db import-scores``: scores and sets that other programs wrote, as a finished locate run.

Such a run says nothing of models, prompts and tokens: its scorer is ``imported``, and all but scores and ranks is NULL,
unless the published code wrote the file (:mod:`snql.rankings.published`).
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from snql.db import runs
from snql.db.connection import Database
from snql.db.scores import read_shape, write_statistics
from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.options import words
from snql.rankings.options import About
from snql.rankings.published import KIND, MOST_LAYERS, is_published, published_statistics
from snql.rankings.score_files import Found, load_tensors, read_file, read_tensors

TORCH = (".pt", ".pth", ".bin")
_EMPTY = ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")


@dataclass(frozen=True)
class ImportedScores:
    """A run made from a file of scores. what: the array or column of the file that was read.

    notes: what was assumed, since neither the file nor the user says it.
    """

    run: str
    run_id: int
    shape: Shape
    n_ranked: int
    what: str
    notes: tuple[str, ...] = ()


def import_scores(
    db: Database, name: str, file: Path, about: About | None = None, *, force: bool = False
) -> ImportedScores:
    """Store what a file holds as locate run ``name``: neurons with a score are ranked by it, the highest first.

    Equal scores are in the order of the file; neurons that the file does not name have neither score nor rank. Raises
    InputError for a file of another kind, one that does not fit the model, or a run name that is taken (with ``force``
    it is replaced).
    """
    file, about = Path(file), about or About()
    if not file.is_file():
        raise InputError(f"no score file {file}: check the path")
    notes: tuple[str, ...] = ()
    held = load_tensors(file) if file.suffix.lower() in TORCH else None
    if is_published(held):
        if about.skip_last_layers:
            raise InputError("`skip_last_layers` is for other files: a score file of the published code says itself")
        statistics, shape, n_scored = published_statistics(file, held, about.n_layers)
        known = {"imported": KIND, "skip_last_layers": shape.n_layers - n_scored}
        what = "change_scores"
    else:
        found = read_file(file, about.column) if held is None else read_tensors(file, held, about.column)
        shape = _shape(db, file, found, about)
        notes = _assumed(file, found, about, shape)
        statistics, what = _statistics(file, found.rows, shape, about.skip_last_layers), found.what
        known = {"imported": f"{what} of another program", "scorer": "imported"}
        known |= {"skip_last_layers": about.skip_last_layers}
    new = runs.NewRun("locate", name, known | _config(name, file, about), None)
    runs.check_free(db, new, resume=False, force=force)
    with runs.stored_at_once(db, new, force=force) as (connection, run_id):
        write_statistics(connection, run_id, statistics)
        runs.add_notes(connection, run_id, notes)
    return ImportedScores(name, run_id, shape, statistics["rank"].count(), what, notes)


def _config(name: str, file: Path, about: About) -> dict[str, object]:
    with file.open("rb") as opened:
        sha256 = hashlib.file_digest(opened, "sha256").hexdigest()
    return {
        "before": about.before,
        "after": about.after,
        "file": file.name,
        "file_sha256": sha256,
        "command": ["snql", "db", "import-scores", file.name, name, *words(about)],
    }


def _shape(db: Database, file: Path, found: Found, about: About) -> Shape:
    """The shape of the model: the file's own, that of a run, what was said, or that of a table of every neuron."""
    rows = found.rows
    n_experts = int(rows["expert"].max() or 0) + 1 if found.shape is None else found.shape.n_experts  # type: ignore[arg-type]
    known = read_shape(db, about.like) if about.like is not None else found.shape
    if known is None:
        least = Shape(int(rows["layer"].max()) + 1, (int(rows["neuron"].max()) + 1) * n_experts, n_experts)  # type: ignore[arg-type]
        if len(rows) < least.size and (about.n_layers is None or about.n_neurons is None):
            raise InputError(
                f"of which model is {file}? It names {len(rows)} neurons, not all of {least} ({least.parts}): give "
                "`like` RUN, a locate run of that model, or `n_layers` and `n_neurons`, how many layers it has and how "
                "many neurons each"
            )
        known = least
    shape = Shape(about.n_layers or known.n_layers, about.n_neurons or known.n_neurons, known.n_experts)
    fits = found.shape is None or (found.shape.n_neurons, found.shape.n_experts) == (shape.n_neurons, shape.n_experts)
    if not fits or not 0 < shape.n_layers <= MOST_LAYERS or shape.n_neurons % shape.n_experts:
        raise InputError(
            f"{file} has {found.shape} neurons, the model {shape}: check `like`, `n_layers` and `n_neurons`"
        )
    return shape


def _assumed(file: Path, found: Found, about: About, shape: Shape) -> tuple[str, ...]:
    """What is not known of the model where a table has every neuron up to the last that it names."""
    told = {"layers": about.n_layers, "neurons": about.n_neurons}
    if found.shape is not None or about.like is not None or not (unsaid := [name for name in told if not told[name]]):
        return ()
    return (
        f"{file.name} does not say how many {' and '.join(unsaid)} the model has: taken to be of {shape} "
        f"({shape.parts}), all that it names",
    )


def _statistics(file: Path, rows: pl.DataFrame, shape: Shape, skip_last_layers: int) -> pl.DataFrame:
    """One row per neuron of the model, in order.

    Raises InputError for a neuron that it has not, infinite scores, or where no neuron is left to rank.
    """
    dense = not shape.routed
    expert = rows["expert"].fill_null(0)
    outside = (rows["layer"] >= shape.n_layers) | (expert >= shape.n_experts) | (rows["neuron"] >= shape.per_expert)
    if outside.any() or (rows["expert"].is_null() != dense).any():
        raise InputError(f"{file} names neurons that the model with {shape} ({shape.parts}) has not")
    scores = rows["score"].to_numpy()
    if np.isinf(scores).any():
        raise InputError(f"{file} has infinite scores")
    ids = (rows["layer"] * shape.n_neurons + expert * shape.per_expert + rows["neuron"]).to_numpy()
    order = np.argsort(-scores, kind="stable")
    order = order[ids[order] < (shape.n_layers - skip_last_layers) * shape.n_neurons]
    if not len(order):
        raise InputError(f"{file} has no neuron before the last {skip_last_layers} layers: lower `skip_last_layers`")
    every = np.arange(shape.size)
    score, rank = np.full(shape.size, np.nan), np.zeros(shape.size, dtype=np.int64)
    score[ids], rank[ids[order]] = scores, np.arange(1, len(order) + 1)
    places = {
        "layer": pl.Series(every // shape.n_neurons, dtype=pl.Int16),
        "expert": pl.Series(every % shape.n_neurons // shape.per_expert, dtype=pl.Int16),
        "neuron": pl.Series(every % shape.per_expert, dtype=pl.Int32),
    }
    frame = pl.DataFrame({**places, "score": score, "rank": pl.Series(rank, dtype=pl.Int32)})
    frame = frame.with_columns(
        pl.col("score").fill_nan(None),
        pl.when(pl.col("rank") > 0).then("rank"),
        *(pl.lit(None, dtype=pl.Float64).alias(name) for name in _EMPTY),
        n_tokens=pl.lit(None, dtype=pl.Int64),
    )
    return frame.with_columns(expert=pl.lit(None, dtype=pl.Int16)) if dense else frame
