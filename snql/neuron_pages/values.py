"""What lens runs stored of neurons, for tables and pages."""

import polars as pl

from snql.db.connection import Database
from snql.neuron_pages.model import Place
from snql.neurons.sets import Shape

# Of models of one shape, and for each neuron one run: the last with a refusal direction, else the last.
LATEST = """
SELECT v.layer, v.expert, v.neuron, v.run, v.run_id, v.norm, v.refusal_cosine
FROM value_vectors AS v
SEMI JOIN (
    SELECT r.run_id FROM run_models AS r JOIN models AS m USING (model_id)
    WHERE m.n_layers = $n_layers AND m.n_neurons = $n_neurons
) USING (run_id)
QUALIFY row_number() OVER (
    PARTITION BY v.layer, v.expert, v.neuron ORDER BY v.refusal_cosine IS NULL, v.run_id DESC
) = 1
"""

OF_NEURON = """
WITH listed AS (
    SELECT run_id,
        list(token ORDER BY place) FILTER (effect = 'promotes') AS promotes,
        list(token ORDER BY place) FILTER (effect = 'suppresses') AS suppresses
    FROM value_tokens
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
    GROUP BY run_id
)
SELECT v.run, v.model, v.norm, v.refusal_cosine, v.refusal_percentile, v.chance_deviation, v.direction_layer,
    v.n_harmful, v.n_harmless, t.promotes, t.suppresses
FROM value_vectors AS v
JOIN listed AS t USING (run_id)
SEMI JOIN (
    SELECT r.run_id FROM run_models AS r JOIN models AS m USING (model_id)
    WHERE m.n_layers = $n_layers AND m.n_neurons = $n_neurons
) USING (run_id)
WHERE v.layer = $layer AND v.neuron = $neuron AND v.expert IS NOT DISTINCT FROM $expert
ORDER BY v.run
"""


def value_rows(db: Database, place: Place, shape: Shape) -> pl.DataFrame:
    """A row for each lens run of models of this shape that has the neuron's value vector."""
    parameters = {
        "layer": place.layer, "expert": place.expert, "neuron": place.neuron, "n_layers": shape.n_layers,
        "n_neurons": shape.n_neurons,
    }  # fmt: skip
    with db.reading() as connection:
        frame: pl.DataFrame = connection.sql(OF_NEURON, params=parameters).pl()
    return frame
