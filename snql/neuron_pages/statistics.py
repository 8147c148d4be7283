"""One neuron's numbers: in every run, within its layer, and the sets that hold it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.neuron_pages.choose import LocatedRun
from snql.neuron_pages.model import LayerScores, Place
from snql.neurons.sets import Shape

N_BINS = 40


def score_rows(db: Database, place: Place, runs: Sequence[LocatedRun]) -> pl.DataFrame:
    """The neuron in each of the runs, see :class:`snql.neuron_pages.model.NeuronPage`; with run_id."""
    given = {"runs": [run.run_id for run in runs], "ranked": [run.n_ranked for run in runs]}
    return db.frame(scripts.query("neuron_in_runs"), {**vars(place), **given})


def set_rows(db: Database, place: Place, shape: Shape) -> pl.DataFrame:
    """The sets that hold the neuron: saved ones, those of patch runs, and last their controls."""
    sizes = {"n_layers": shape.n_layers, "n_neurons": shape.n_neurons, "n_experts": shape.n_experts}
    return db.frame(scripts.query("sets_of_neuron"), {**vars(place), **sizes})


def layer_scores(db: Database, run_id: int, layer: int, own: float | None) -> LayerScores | None:
    """How the scores of the layer's neurons are distributed; None if it has none."""
    query = "SELECT score FROM neuron_statistics WHERE run_id = ? AND layer = ? AND score IS NOT NULL"
    scores = db.frame(query, [run_id, layer])["score"].to_numpy()
    return binned(scores, own) if len(scores) else None


def binned(scores: npt.NDArray[np.float64], own: float | None) -> LayerScores:
    """Scores in ``N_BINS`` bins between the lowest and the highest, of their logarithm unless one is negative.

    scores: float64, shape (neurons,), at least one. All in one bin if they are equal.
    """
    log = bool(scores.min() >= 0 and scores.max() > 0)
    inside = scores[scores > 0] if log else scores
    values = np.log10(inside) if log else inside
    n_bins = N_BINS if values.min() < values.max() else 1
    edges = np.linspace(values.min(), values.max(), n_bins + 1)
    counts = np.bincount(_bins(values, edges), minlength=n_bins)
    own_bin = None
    if own is not None and (own > 0 or not log):
        own_bin = int(_bins(np.array([np.log10(own) if log else own]), edges)[0])
    shown = 10.0**edges if log else edges
    return LayerScores(tuple(shown.tolist()), tuple(counts.tolist()), log, len(scores) - len(inside), own_bin)


def _bins(values: npt.NDArray[np.float64], edges: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
    """The bin of each value; the last bin holds its upper edge too."""
    return np.clip(np.searchsorted(edges, values, side="right") - 1, 0, len(edges) - 2)
