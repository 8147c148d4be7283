"""Sums per prompt, and bootstrap intervals of change scores: writing them, and reading them some neurons at a time."""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl

from snql.db.connection import Database
from snql.db.tables import delete, insert
from snql.errors import InputError
from snql.neurons.sets import Ids, Shape

VALUES_AT_ONCE = 4_000_000
"""Prompts times neurons that are read at once."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class SumsChunk:
    """Some neurons' sums: flat ids; squared and counts are Float64["prompts neurons"], 0 where no token came."""

    ids: Ids
    squared: Array
    counts: Array


def write_prompt_sums(connection: duckdb.DuckDBPyConnection, run_id: int, rows: pl.DataFrame) -> None:
    """Insert rows: layer, expert, neuron, prompt_id, n_tokens, squared_differences."""
    insert(connection, "prompt_sums", rows, run_id=run_id)


def write_intervals(connection: duckdb.DuckDBPyConnection, run_id: int, rows: pl.DataFrame) -> None:
    """Insert rows: layer, expert, neuron, ci_low, ci_high, standard_error, top_share."""
    insert(connection, "score_intervals", rows, run_id=run_id)


def forget_prompt_sums(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Take back what a process wrote that did not come to the end."""
    delete(connection, "prompt_sums", run_id=run_id)


def has_intervals(db: Database, run_id: int) -> bool:
    """Whether a run's intervals are there."""
    return bool(db.rows("SELECT 1 FROM score_intervals WHERE run_id = ? LIMIT 1", [run_id]))


class PromptSumsReader:
    """The sums per prompt of one run. Raises InputError if it has none."""

    def __init__(self, db: Database, run: str, run_id: int, shape: Shape) -> None:
        self._db, self._run_id, self._shape = db, run_id, shape
        rows = db.rows("SELECT DISTINCT prompt_id FROM prompt_sums WHERE run_id = ? ORDER BY 1", [run_id])
        self._prompts = np.array([prompt for (prompt,) in rows], dtype=np.int64)
        if not len(self._prompts):
            raise InputError(f"locate run {run!r} has no sums per prompt: locate it with `bootstrap` 1000")

    @property
    def n_prompts(self) -> int:
        return len(self._prompts)

    def chunks(self) -> Iterator[SumsChunk]:
        """All neurons of the model, in order."""
        shape = self._shape
        width = max(1, VALUES_AT_ONCE // self.n_prompts)
        for layer in range(shape.n_layers):
            for expert in range(shape.n_experts):
                for start in range(0, shape.per_expert, width):
                    yield self._read(layer, expert, start, min(width, shape.per_expert - start))

    def _read(self, layer: int, expert: int, start: int, width: int) -> SumsChunk:
        frame = self._db.frame(
            """
            SELECT neuron, prompt_id, n_tokens, squared_differences FROM prompt_sums
            WHERE run_id = ? AND layer = ? AND neuron >= ? AND neuron < ? AND coalesce(expert, 0) = ?
            """,
            [self._run_id, layer, start, start + width, expert],
        )
        place = (np.searchsorted(self._prompts, frame["prompt_id"].to_numpy()), frame["neuron"].to_numpy() - start)
        squared, counts = np.zeros((self.n_prompts, width)), np.zeros((self.n_prompts, width))
        squared[place] = frame["squared_differences"].to_numpy()
        counts[place] = frame["n_tokens"].to_numpy()
        first = layer * self._shape.n_neurons + expert * self._shape.per_expert + start
        return SumsChunk(np.arange(first, first + width, dtype=np.int64), squared, counts)
