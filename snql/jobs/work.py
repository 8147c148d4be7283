"""Working through planned batches: commits about once a second, and Ctrl-C after what has been read is kept."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

import duckdb

from snql.db import runs
from snql.db.connection import Database
from snql.db.durable import room_needed
from snql.interrupts import held_back
from snql.jobs.watch import Watch
from snql.progress import Progress, ProgressCallback

COMMIT_SECONDS = 1.0

Batch = TypeVar("Batch")
Row = TypeVar("Row")


@dataclass(frozen=True)
class Done(Generic[Row]):
    """What a batch gave: rows to store, how many units of the stage they are, and tokens that were read for them."""

    rows: list[Row]
    n_units: int
    n_tokens: int


@dataclass(frozen=True)
class Work(Generic[Batch, Row]):
    """The batches of a run that are left, how one is done, and how rows are stored.

    finish: writes what follows from all rows, in the transaction that ends the run.
    """

    stage: str
    unit: str
    done: int
    total: int
    batches: Iterable[Batch]
    do: Callable[[Batch], Done[Row]]
    store: Callable[[duckdb.DuckDBPyConnection, list[Row]], None]
    finish: Callable[[], Callable[[duckdb.DuckDBPyConnection], None]]


def work_through(db: Database, run_id: int, work: Work[Batch, Row], progress: ProgressCallback) -> None:
    """Do all batches, and finish the run. A batch's rows are committed together; Ctrl-C stops after a commit."""

    def say_stopping() -> None:
        message = "stopping once what is finished has been kept; Ctrl-C again stops at once"
        progress(Progress("", 0, 0, "", message=message))

    def commit() -> None:
        if waiting:
            with db.write() as connection:
                work.store(connection, waiting)
            waiting.clear()

    waiting: list[Row] = []
    with room_needed(db.path), held_back(say_stopping) as stop:
        watch = Watch(progress, work.stage, work.done, work.total, work.unit)
        committed = time.monotonic()
        for batch in work.batches:
            done = work.do(batch)
            waiting += done.rows
            watch.advance(done.n_units, done.n_tokens)
            if stop.asked or time.monotonic() - committed >= COMMIT_SECONDS:
                commit()
                committed = time.monotonic()
            stop.here()
        commit()
        last = work.finish()
        with db.write() as connection:
            last(connection)
            runs.finish_run(connection, run_id)
