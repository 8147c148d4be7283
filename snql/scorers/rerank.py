"""``snql locate NAME --scorer S --from-run RUN``: another ranking of a stored contrast, with no model."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from snql.contrast.noise import equal_scores_note, said_of
from snql.contrast.scorers import CHANGE_SCORE, check_contrast_scorer, contrast_scores
from snql.db import runs
from snql.db.connection import Database
from snql.db.scores import copy_inputs, read_scores, read_shape, statistics_frame, write_statistics
from snql.errors import InputError
from snql.neurons.sets import Shape

STATISTICS = ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")


@dataclass(frozen=True)
class RankedRun:
    """A locate run made by a scorer. ``top``: its ten highest-ranked neurons, best first; ``notes``: what the numbers
    must be read with."""

    run: str
    run_id: int
    shape: Shape
    scorer: str
    n_ranked: int
    top: pl.DataFrame
    notes: tuple[str, ...] = ()

    @property
    def noise(self) -> str | None:
        """What the notes say of the ranking being noise; None if they do not."""
        return said_of(self.notes)


def rerank(
    db: Database, name: str, source: str, scorer: str, *, resume: bool = False, force: bool = False
) -> RankedRun:
    """Rank the neurons of the finished locate run ``source`` by another scorer, as locate run ``name``.

    Its statistics, prompts and models are those of the source, and the same layers are ranked. Raises InputError for an
    unknown run or scorer, a name that is taken, or change scores of a run that has stored none.
    """
    check_contrast_scorer(scorer)
    shape = read_shape(db, source)
    stored = read_scores(db, source)
    source_id, config, n_layers = _source(db, source)
    _check_source(source, config, stored, scorer)
    own = {
        "scorer": scorer,
        "keep": "none",
        "bootstrap": 0,
        "from_run": source,
        "from_run_id": source_id,
        "command": ["snql", "locate", name, "--scorer", scorer, "--from-run", source],
    }
    new = runs.NewRun("locate", name, config | own, config.get("seed"))
    resumed = runs.check_free(db, new, resume=resume, force=force)
    if resumed is None or resumed.status != "done":
        columns = {column: _array(stored, column, shape) for column in STATISTICS}
        tokens = stored["n_tokens"].fill_null(0).to_numpy().reshape(shape.n_layers, shape.n_neurons)
        known = columns | {"n_tokens": tokens.astype(np.float64)}
        scores = contrast_scores(scorer, _array(stored, "score", shape), known)
        statistics = statistics_frame(shape, scores, columns, tokens, n_layers)
        notes = [*runs.read_notes(db, source_id), equal_scores_note(statistics)]
        with runs.stored_at_once(db, new, resumed, force=force) as (connection, run_id):
            copy_inputs(connection, source_id, run_id)
            write_statistics(connection, run_id, statistics)
            runs.add_notes(connection, run_id, [note for note in notes if note is not None])
    return ranked_run(db, name, scorer)


def _check_source(source: str, config: dict[str, Any], stored: pl.DataFrame, scorer: str) -> None:
    """Raise InputError unless the run has stored what the scorer needs."""
    if stored["n_tokens"].null_count() == stored.height:
        raise InputError(f"run {source!r} has scores of another program, without numbers of tokens: rank another run")
    if scorer == CHANGE_SCORE and config.get("scorer", CHANGE_SCORE) != CHANGE_SCORE:
        raise InputError(f"run {source!r} stored the scores of {config['scorer']}: rank the run that it was made from")
    if "model" in config:
        raise InputError(f"run {source!r} has one model on sets of prompts, no contrast: rank one of two models")


def ranked_run(db: Database, name: str, scorer: str) -> RankedRun:
    """What a finished run found."""
    with db.reading():
        ((run_id, n_ranked),) = db.rows("SELECT run_id, n_ranked FROM locate_runs WHERE run = ?", [name])
        return RankedRun(
            run=name,
            run_id=run_id,
            shape=read_shape(db, name),
            scorer=scorer,
            n_ranked=n_ranked,
            top=db.frame("FROM top_neurons(?, 10)", [name]),
            notes=runs.read_notes(db, run_id),
        )


def _source(db: Database, source: str) -> tuple[int, dict[str, Any], int]:
    """Id, configuration and number of ranked layers of a finished locate run."""
    with db.reading():
        state = runs.find_run(db, "locate", source)
        ((n_layers,),) = db.rows("SELECT n_ranked_layers FROM locate_runs WHERE run = ?", [source])
    if state is None:
        raise InputError(f"no locate run is named {source!r}")
    return state.run_id, dict(state.config), n_layers


def _array(frame: pl.DataFrame, column: str, shape: Shape) -> "np.ndarray[tuple[int, ...], np.dtype[np.float64]]":
    values = frame[column].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    return values.reshape(shape.n_layers, shape.n_neurons).copy()
