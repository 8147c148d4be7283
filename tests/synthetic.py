"""Databases with made-up runs, for tests that need rankings but no models."""

import numpy as np

from snql.db import runs
from snql.db.connection import Database
from snql.db.scores import statistics_frame, write_statistics
from snql.neurons.sets import Shape


def add_locate_run(
    db: Database, name: str, scores: np.ndarray, n_ranked_layers: int | None = None, sizes: np.ndarray | None = None
) -> int:
    """A finished locate run whose change scores are ``scores``, shape (layers, neurons); returns its id.

    sizes: mean activations of the model before, of the same shape; 0 if there are none.
    """
    new = runs.NewRun("locate", name, {"before": "x", "after": "y", "positions": "generating"}, 0)
    columns = {
        key: np.zeros_like(scores)
        for key in ("mean_before", "mean_after", "std_before", "std_after", "mean_difference")
    }
    if sizes is not None:
        columns["mean_before"] = sizes
    ranked = len(scores) if n_ranked_layers is None else n_ranked_layers
    tokens = np.full(scores.shape, 10, dtype=np.int64)
    with runs.stored_at_once(db, new) as (connection, run_id):
        write_statistics(connection, run_id, statistics_frame(Shape(*scores.shape), scores, columns, tokens, ranked))
    return run_id
