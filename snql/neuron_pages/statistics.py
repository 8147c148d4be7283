"""One neuron's numbers: in every run, within its layer, and the sets that hold it."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.neuron_pages.choose import LocatedRun
from snql.neuron_pages.model import LayerScores, Place
from snql.neurons.sets import Shape

N_BINS = 40

SCORES = """
WITH mine AS (
    SELECT * FROM neuron_statistics
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
        AND run_id IN (SELECT unnest($runs))
),
peers AS (
    SELECT mine.run_id, count(s.score) AS n_in_layer, count(*) FILTER (s.score > mine.score) + 1 AS rank_in_layer
    FROM mine JOIN neuron_statistics AS s USING (run_id) WHERE s.layer = $layer
    GROUP BY mine.run_id
),
kept AS (
    SELECT run_id FROM runs JOIN neuron_set_members AS m ON m.set_id = kept_set_id
    WHERE m.layer = $layer AND m.neuron = $neuron AND m.expert IS NOT DISTINCT FROM $expert
    UNION  -- runs of old databases do not say what they keep; they keep it in rows
    SELECT DISTINCT a.run_id FROM activation_rows AS a JOIN runs USING (run_id)
    WHERE runs.kept_set_id IS NULL
        AND a.layer = $layer AND a.neuron = $neuron AND a.expert IS NOT DISTINCT FROM $expert
)
SELECT
    runs.name AS run,
    runs.config ->> '$.before' AS model_before,
    runs.config ->> '$.after' AS model_after,
    mine.rank,
    sizes.n_ranked,
    100 * mine.rank / sizes.n_ranked AS top_percent,
    mine.score,
    i.ci_low,
    i.ci_high,
    i.standard_error,
    i.top_share,
    CASE WHEN mine.score IS NOT NULL THEN peers.rank_in_layer END AS rank_in_layer,
    peers.n_in_layer,
    mine.mean_before,
    mine.mean_after,
    mine.mean_difference,
    mine.std_before,
    mine.std_after,
    mine.n_tokens,
    kept.run_id IS NOT NULL AS kept,
    runs.run_id
FROM mine
JOIN runs USING (run_id)
JOIN (SELECT unnest($runs) AS run_id, unnest($ranked) AS n_ranked) AS sizes USING (run_id)
JOIN peers USING (run_id)
LEFT JOIN kept USING (run_id)
LEFT JOIN score_intervals AS i
    ON i.run_id = mine.run_id AND i.layer = $layer AND i.neuron = $neuron AND i.expert IS NOT DISTINCT FROM $expert
ORDER BY runs.started_at, runs.run_id
"""

SETS = """
WITH holding AS (
    SELECT set_id FROM neuron_set_members
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
),
patched AS (
    SELECT 'patch' AS kind, runs.name AS run, v.name AS "set", v.n_neurons, v.control_of IS NOT NULL AS control
    FROM variants AS v SEMI JOIN holding USING (set_id) JOIN runs USING (run_id)
    WHERE runs.kind = 'patch' AND EXISTS (
        FROM run_models AS rm JOIN models AS m USING (model_id)
        WHERE rm.run_id = v.run_id AND m.n_layers = $n_layers AND m.n_neurons = $n_neurons
    )
),
saved AS (
    SELECT 'saved' AS kind, NULL AS run, '@' || n.name AS "set", s.n_neurons, false AS control
    FROM named_sets AS n SEMI JOIN holding USING (set_id) JOIN neuron_sets AS s USING (set_id)
    WHERE n.n_layers = $n_layers AND n.n_neurons = $n_neurons AND n.n_experts = $n_experts
)
FROM saved UNION ALL FROM patched ORDER BY control, kind DESC, run, n_neurons, "set"
"""


def coordinates(place: Place) -> dict[str, int | None]:
    """The neuron as named parameters."""
    return {"layer": place.layer, "expert": place.expert, "neuron": place.neuron}


def score_rows(db: Database, place: Place, runs: Sequence[LocatedRun]) -> pl.DataFrame:
    """The neuron in each of the runs, see :class:`snql.neuron_pages.model.NeuronPage`; with run_id."""
    with db.reading() as connection:
        frame: pl.DataFrame = connection.sql(
            SCORES,
            params={
                **coordinates(place),
                "runs": [run.run_id for run in runs],
                "ranked": [run.n_ranked for run in runs],
            },
        ).pl()
    return frame


def set_rows(db: Database, place: Place, shape: Shape) -> pl.DataFrame:
    """The sets that hold the neuron: saved ones, those of patch runs, and last their controls."""
    sizes = {"n_layers": shape.n_layers, "n_neurons": shape.n_neurons, "n_experts": shape.n_experts}
    with db.reading() as connection:
        frame: pl.DataFrame = connection.sql(SETS, params={**coordinates(place), **sizes}).pl()
    return frame


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
