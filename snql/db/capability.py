"""Rows of capability runs: windows and perplexities, divergences and what they close, results of tasks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from snql.db import scripts
from snql.db.connection import Database
from snql.db.tables import insert


@dataclass(frozen=True)
class WindowRow:
    """One window as one variant read it; nlls of its scored tokens, from ``first_position`` on."""

    variant_id: int
    prompt_id: int
    window_index: int
    first_position: int
    n_context: int
    n_tokens: int
    nll: float
    nlls: list[float]


@dataclass(frozen=True)
class DivergenceRow:
    """How far a variant is from the donor on one completion, token by token."""

    variant_id: int
    prompt_id: int
    sample: int
    n_tokens: int
    kl: float
    n_agreeing: int
    kls: list[float]
    agrees: list[bool]


@dataclass(frozen=True)
class ResultRow:
    """One metric of one task under one variant."""

    variant_id: int
    requested: str
    task: str
    metric: str
    filter: str
    value: float | None
    stderr: float | None
    n_samples: int | None
    n_shot: int | None
    task_version: str | None
    higher_is_better: bool | None


@dataclass(frozen=True)
class SampleRow:
    """One metric of one document of a task under one variant, and the answer."""

    variant_id: int
    requested: str
    task: str
    doc_id: int
    filter: str
    metric: str
    value: float | None
    target: str
    response: str


Row = WindowRow | DivergenceRow | ResultRow | SampleRow
_TABLES: dict[type[Any], str] = {
    WindowRow: "text_windows",
    DivergenceRow: "divergences",
    ResultRow: "task_results",
    SampleRow: "task_samples",
}


def write_rows(connection: duckdb.DuckDBPyConnection, run_id: int, rows: Sequence[Row]) -> None:
    """Insert rows of a run, each into the table of its kind."""
    for kind, table in _TABLES.items():
        insert(connection, table, [row for row in rows if type(row) is kind], run_id=run_id)


def windows_read(db: Database, run_id: int) -> set[tuple[int, int]]:
    """The windows that a run has read: (prompt_id, window_index). All variants of one are stored together."""
    return set(db.rows("SELECT DISTINCT prompt_id, window_index FROM text_windows WHERE run_id = ?", [run_id]))


def window_sums(db: Database, run_id: int) -> pl.DataFrame:
    """One row per window, with its dataset and one column of summed NLLs per variant_id."""
    frame = db.frame(
        """
        SELECT p.dataset, w.prompt_id, w.window_index, w.n_tokens, w.variant_id, w.nll
        FROM text_windows AS w JOIN run_prompts AS r USING (run_id, prompt_id) JOIN prompts AS p USING (prompt_id)
        WHERE w.run_id = ? ORDER BY r.ordinal, w.window_index, w.variant_id
        """,
        [run_id],
    )
    keys = ["dataset", "prompt_id", "window_index", "n_tokens"]
    return frame.pivot(on="variant_id", index=keys, values="nll", maintain_order=True)


def completions_read(db: Database, run_id: int) -> set[tuple[int, int]]:
    """The completions that a divergence run has read: (prompt_id, sample)."""
    return set(db.rows("SELECT DISTINCT prompt_id, sample FROM divergences WHERE run_id = ?", [run_id]))


def divergence_sums(db: Database, run_id: int) -> pl.DataFrame:
    """One row per prompt and variant: dataset, prompt_id, variant_id, n_tokens, kl, n_agreeing over its samples."""
    return db.frame(scripts.query("divergence_sums"), {"run_id": run_id})


def tasks_done(db: Database, run_id: int) -> set[tuple[int, str]]:
    """Which tasks a run has done, by the names that were asked for: (variant_id, requested)."""
    return set(db.rows("SELECT DISTINCT variant_id, requested FROM task_results WHERE run_id = ?", [run_id]))


def is_own(db: Database, run_id: int) -> bool:
    """Whether a divergence run compares a model with itself under patches: then there is nothing to close."""
    ((same,),) = db.rows("SELECT config ->> '$.donor' = config ->> '$.recipient' FROM runs WHERE run_id = ?", [run_id])
    return bool(same)
