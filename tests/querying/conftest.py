"""A database with three rankings, kept token activations, prompts of two categories, and judged patch runs."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pytest

from snql.db import Database

from ..reporting.conftest import Builder

N_LAYERS, N_NEURONS, N_TOKENS = 4, 50, 9


def _activations(builder: Builder, run_id: int, prompt_ids: list[int]) -> None:
    """Activations of three neurons at every position of every prompt."""
    tokens = [
        (run_id, index, prompt, position, 7, f"tok{(index * index) % 5}")
        for index, (prompt, position) in enumerate((p, q) for p in prompt_ids for q in range(N_TOKENS))
    ]
    builder.connection.executemany("INSERT INTO scored_tokens VALUES (?, ?, ?, ?, ?, ?)", tokens)
    for layer, neuron in ((0, 3), (1, 7), (2, 3)):
        for index in range(len(tokens)):
            before, after = (float(value) for value in builder.random.normal(size=2).astype(np.float32))
            row = [run_id, layer, neuron, index, before, after + layer * (index % 3)]
            builder.connection.execute("INSERT INTO activation_rows VALUES (?, ?, NULL, ?, ?, ?, ?)", row)


@pytest.fixture(scope="session")
def answers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """The database; tests only read it."""
    database = Database(tmp_path_factory.mktemp("answers") / "answers.duckdb")
    random = np.random.default_rng(4)
    shared = random.lognormal(-2, 1, (N_LAYERS, N_NEURONS))
    with database.write() as connection:
        builder = Builder(connection)
        for name in ("seed1", "seed2", "seed3"):
            scores = shared * random.lognormal(0, 0.6, shared.shape)
            scores[0, :4] = scores[0, 0]  # ties
            builder.locate(name, scores)
        signs = random.normal(size=(2, N_LAYERS * N_NEURONS))
        frame = pl.DataFrame({"id": range(N_LAYERS * N_NEURONS), "before": signs[0], "after": signs[1]})
        connection.register("signs", frame)
        connection.execute(
            "UPDATE neuron_statistics SET mean_before = before, mean_after = after, std_before = 2, std_after = 0.5"
            " FROM signs WHERE id = layer * 50 + neuron AND run_id = 1"
        )
        prompts = builder.prompts(1, "kinds", [f"prompt {number}" for number in range(8)])
        connection.execute("UPDATE prompts SET category = CASE WHEN prompt_id % 2 = 0 THEN 'hate' ELSE 'fraud' END")
        _activations(builder, 1, prompts)
        run_id = builder.patch("patched", texts=[f"text {number}" for number in range(6)])
        for variant_id in range(3):
            for number in range(6):
                connection.execute(
                    "UPDATE judgements SET score = ? WHERE run_id = ? AND variant_id = ? AND prompt_id ="
                    " (SELECT prompt_id FROM prompts WHERE text = ?)",
                    [float(builder.random.normal()), run_id, variant_id, f"text {number}"],
                )
    with database:
        yield database
