"""A database with as much as one page shows, and a little more: 10,000 neurons and 5,000 completions."""

from pathlib import Path

import numpy as np

from snql.db import Database
from snql.neurons.sets import Shape

from ..neuron_pages.made import add_run, add_tokens
from .conftest import Builder

N_WORDS = 180
"""Of each completion, as many as 256 tokens are."""
WORDS = [f"word{number}" for number in range(40)] + ["refuses", "harmless", "because", "never", "<b>bold</b>"]

PROMPTS = """
INSERT INTO prompts
SELECT 1000 + i, 'many', 'Question ' || i || ': ' || repeat('what then? ', 1 + i % 9), sha256('many' || i), NULL, NULL
FROM range($n) AS numbers(i)
"""
ASKED = "INSERT INTO run_prompts SELECT $run_id, 1000 + i, 1000 + i, 'f', [1], NULL FROM range($n) AS numbers(i)"
WRITTEN = """
INSERT INTO completions
SELECT
    $run_id, v.variant_id, 1000 + i,
    'Variant ' || v.variant_id || ', prompt ' || i || ': ' || list_aggregate(
        list_transform(
            range($n_words),
            lambda w: $words[(hash(w * 7919 + i * 31 + v.variant_id) % len($words) + 1)::INTEGER]
        ),
        'string_agg', ' '
    ),
    [1, 2], 'stop', 0, NULL, NULL
FROM range($n) AS numbers(i), variants AS v
WHERE v.run_id = $run_id
"""
JUDGED = """
INSERT INTO judgements
SELECT
    run_id, variant_id, prompt_id, 'cost', (hash(variant_id * 17 + prompt_id) % 1000)::DOUBLE / 100 - 5, 0, NULL, NULL
FROM completions WHERE run_id = $run_id AND prompt_id >= 1000
"""


def large(path: Path, *, n_layers: int = 5, n_neurons: int = 2048, n_prompts: int = 998) -> Database:
    """Two locate runs, one of them with token activations, and a patch run of three sets without controls."""
    database = Database(path)
    random = np.random.default_rng(0)
    made = add_run(database, "kept", Shape(n_layers, n_neurons), 1)
    with database.write() as connection:
        builder = Builder(connection, n_runs=made.run_id)
        builder.locate("safety", random.lognormal(-2, 1, (n_layers, n_neurons)))
        run_id = builder.patch("many", n_controls=0)
        connection.execute(PROMPTS, {"n": n_prompts})
        connection.execute(ASKED, {"run_id": run_id, "n": n_prompts})
        connection.execute(WRITTEN, {"run_id": run_id, "n": n_prompts, "n_words": N_WORDS, "words": WORDS})
        connection.execute(JUDGED, {"run_id": run_id})
    top = made.statistics.sort("rank", nulls_last=True).head(4)
    places = [(int(layer), None, int(neuron)) for layer, neuron in top.select("layer", "neuron").iter_rows()]
    add_tokens(database, made, "rows", list(places), ["\n", " the", " a<b", "Sure", "&amp;"])
    return database
