"""How far a locate run is: its plan of batches, what each of them left, and what a resumed run reads of that."""

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.tables import delete, insert, now


@dataclass(frozen=True)
class BatchRow:
    """One finished batch. stage: contrast or keep; file and sha256: what it left in the staging folder."""

    stage: str
    batch: int
    n_prompts: int
    n_tokens: int
    file: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Given:
    """A prompt as the models get it, with what was written for it, if anything was."""

    prompt_id: int
    input_ids: tuple[int, ...]
    completion: tuple[int, ...] = ()


def write_batch(connection: duckdb.DuckDBPyConnection, run_id: int, row: BatchRow) -> None:
    """Record a finished batch, in the transaction of what it brings."""
    insert(connection, "run_batches", [row], run_id=run_id, finished_at=now())


def read_batches(db: Database, run_id: int, stage: str) -> list[BatchRow]:
    """The finished batches of a stage, in order."""
    query = "SELECT * EXCLUDE (run_id, finished_at) FROM run_batches WHERE run_id = ? AND stage = ? ORDER BY batch"
    return [BatchRow(**row) for row in db.frame(query, [run_id, stage]).iter_rows(named=True)]


def forget_kept(connection: duckdb.DuckDBPyConnection, run_id: int) -> None:
    """Take back what the ``keep`` batches of a run committed: a file that one of them left is gone."""
    delete(connection, "run_batches", run_id=run_id, stage="keep")
    delete(connection, "scored_tokens", run_id=run_id)


def planned(db: Database, run_id: int) -> list[int]:
    """How many prompts each batch of the run's plan has, in order; empty if the run has no plan."""
    rows = db.rows(
        "SELECT count(*) FROM run_prompts WHERE run_id = ? AND batch IS NOT NULL GROUP BY batch ORDER BY batch",
        [run_id],
    )
    return [count for (count,) in rows]


def planned_prompts(db: Database, run_id: int, first: int, last: int) -> dict[int, list[Given]]:
    """The prompts of batches ``first`` to ``last`` of the plan: longest first, in an order that never changes."""
    rows = db.rows(
        """
        SELECT batch, prompt_id, input_ids FROM run_prompts WHERE run_id = ? AND batch BETWEEN ? AND ?
        ORDER BY batch, len(input_ids) DESC, prompt_id
        """,
        [run_id, first, last],
    )
    found: dict[int, list[Given]] = {}
    for batch, prompt_id, ids in rows:
        found.setdefault(batch, []).append(Given(prompt_id, tuple(ids)))
    return found


def text_lengths(db: Database, run_id: int) -> pl.DataFrame:
    """One row per prompt of the run: prompt_id, n_prompt and n_completion in tokens, and the completion's last_id."""
    return db.frame(scripts.query("text_lengths"), {"run_id": run_id})


def texts_of(db: Database, run_id: int, prompt_ids: Sequence[int]) -> list[Given]:
    """These prompts with their completions, in the order of ``prompt_ids``."""
    rows = db.rows(
        """
        SELECT p.prompt_id, p.input_ids, c.token_ids
        FROM run_prompts AS p LEFT JOIN completions AS c USING (run_id, prompt_id)
        WHERE p.run_id = ? AND p.prompt_id IN (SELECT unnest(?::INTEGER[]))
        """,
        [run_id, list(prompt_ids)],
    )
    by_id = {prompt_id: Given(prompt_id, tuple(ids), tuple(new or ())) for prompt_id, ids, new in rows}
    return [by_id[prompt_id] for prompt_id in prompt_ids]
