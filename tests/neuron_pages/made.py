"""Databases with made-up token activations, in rows or in shards, and what is in them as plain Python values."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pyarrow as pa

from snql.db import runs
from snql.db.activations import commit_chunk, write_shard, write_tokens
from snql.db.connection import Database
from snql.db.records import save_set
from snql.db.scores import statistics_frame, write_statistics
from snql.neurons.sets import NeuronSet, Shape

Coordinates = tuple[int, int | None, int]
HEAD = "<|user|>\nprompt {} asks: <b>what</b>?\n<|assistant|>"
N_PROMPT = 6
"""Tokens of each prompt; only the last of them, a new line, is scored."""


@dataclass
class Made:
    """One run. tokens: (prompt_id, position, token_id, token) in order; values: (before, after) of each at every token,
    NaN where there is no row; scores: shape (layers, neurons of all experts)."""

    name: str
    run_id: int
    shape: Shape
    scores: np.ndarray
    statistics: pl.DataFrame
    tokens: list[tuple[int, int, int, str]] = field(default_factory=list)
    values: dict[Coordinates, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)

    def row(self, place: Coordinates) -> dict[str, object]:
        layer, expert, neuron = place
        chosen = self.statistics.filter(
            (pl.col("layer") == layer) & pl.col("expert").eq_missing(pl.lit(expert)) & (pl.col("neuron") == neuron)
        )
        return chosen.row(0, named=True)


def add_run(db: Database, name: str, shape: Shape, seed: int, n_ranked_layers: int | None = None) -> Made:
    """A finished locate run without token activations."""
    generator = np.random.default_rng(seed)
    size = (shape.n_layers, shape.n_neurons)
    scores = generator.lognormal(0, 1, size)
    names = ("mean_before", "mean_after", "std_before", "std_after")
    columns = {key: generator.normal(0, 1, size) for key in names}
    columns["mean_difference"] = columns["mean_after"] - columns["mean_before"]
    tokens = np.full(size, 50, dtype=np.int64)
    ranked = shape.n_layers if n_ranked_layers is None else n_ranked_layers
    frame = statistics_frame(shape, scores, columns, tokens, ranked)
    config = {"before": f"{name}-sft", "after": f"{name}-dpo", "positions": "generating"}
    with runs.stored_at_once(db, runs.NewRun("locate", name, config, 0)) as (connection, run_id):
        write_statistics(connection, run_id, frame)
    return Made(name, run_id, shape, scores, frame)


def add_tokens(
    db: Database, made: Made, store: str, kept: list[Coordinates], words: list[str], n_prompts: int = 9
) -> None:
    """Give a run tokens and activations of some neurons: multiples of 1/64, which half precision holds exactly."""
    generator = np.random.default_rng(made.run_id)
    for prompt in range(1, n_prompts + 1):
        length = 5 + prompt % 4
        picked = generator.integers(len(words), size=length)
        made.tokens.append((prompt, N_PROMPT - 1, 99, "\n"))
        made.tokens += [(prompt, N_PROMPT + at, int(word), words[word]) for at, word in enumerate(picked)]
    for place in kept:
        before, after = (generator.integers(-200, 300, size=len(made.tokens)) / 64 for _ in range(2))
        if place[1] is not None:
            before[::3], after[::3] = np.nan, np.nan
        made.values[place] = (before, after)
    with db.write() as connection:
        runs.set_kept(connection, made.run_id, save_set(connection, NeuronSet.of(made.shape, kept)), store)
        schema = ["prompt_id", "position", "token_id", "token"]
        frame = pl.DataFrame(made.tokens, schema=schema, orient="row").with_row_index("token_index")
        write_tokens(connection, made.run_id, frame)
        for prompt in range(1, n_prompts + 1):
            text = HEAD.format(prompt) + "\n"
            connection.execute(
                "INSERT OR IGNORE INTO prompts VALUES (?, '<i>data</i>', ?, ?, NULL, NULL)", [prompt, text, text]
            )
            connection.execute(
                "INSERT INTO run_prompts VALUES (?, ?, ?, ?, ?, 0)",
                [made.run_id, prompt, prompt, text, list(range(N_PROMPT))],
            )
        for chunk, layer in enumerate(sorted({layer for layer, _, _ in kept})):
            rows = _rows(made, [place for place in kept if place[0] == layer])
            file = None
            if store == "parquet":
                file, rows = write_shard(db.path, made.run_id, chunk, rows)
            commit_chunk(connection, made.run_id, chunk, layer, rows, file)


def _rows(made: Made, places: list[Coordinates]) -> pa.Table:
    parts = []
    for layer, expert, neuron in sorted(places, key=lambda place: (place[1] or 0, place[2])):
        before, after = made.values[(layer, expert, neuron)]
        there = np.flatnonzero(~np.isnan(before))
        parts.append(
            pa.table(
                {
                    "layer": pa.array([layer] * len(there), pa.int16()),
                    "expert": pa.array([expert] * len(there), pa.int16()),
                    "neuron": pa.array([neuron] * len(there), pa.int32()),
                    "token_index": pa.array(there, pa.int32()),
                    "before": pa.array(before[there].astype(np.float32)),
                    "after": pa.array(after[there].astype(np.float32)),
                }
            )
        )
    return pa.concat_tables(parts)
