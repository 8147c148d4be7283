"""A run at work: commits about once a second, and Ctrl-C after what is finished has been kept."""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Concatenate, Generic, ParamSpec, TypeVar

from snql.db import runs
from snql.db.connection import Connection, Database
from snql.db.durable import room_needed
from snql.db.prompts import prompts_of
from snql.interrupts import Stop, held_back
from snql.jobs.watch import Watch
from snql.progress import ProgressCallback, say, say_note, silent
from snql.prompts.types import Prompt

COMMIT_SECONDS = 1.0
"""What takes less than this is committed several at a time: a commit costs some hundredths of a second."""

_LOCK_SECONDS = 600.0
"""How long a job waits to commit: longer than a person who only asks, for hours of work may hang on it."""

_STOPPING = "stopping once what is finished has been kept; Ctrl-C again stops at once"

Row = TypeVar("Row")
Given = ParamSpec("Given")


@dataclass(frozen=True)
class Done(Generic[Row]):
    """What a batch gave: rows to store, how many units of the stage they are, and tokens that were read for them."""

    rows: list[Row]
    n_units: int
    n_tokens: int = 0


@dataclass(frozen=True)
class Job:
    """A run whose row, models, prompts and variants are in the database, while it works."""

    db: Database
    run_id: int
    progress: ProgressCallback = silent
    stop: Stop = field(default_factory=Stop)

    def prompts(self) -> list[Prompt]:
        """The run's prompts in order, with their ids."""
        return prompts_of(self.db, self.run_id)

    def watch(self, stage: str, done: int, total: int, unit: str) -> Watch:
        """Begin a stage of which so much is done."""
        return Watch(self.progress, stage, done, total, unit)

    def note(self, text: str) -> None:
        """Say what the run's numbers must be read with, and keep it in its row."""
        self.store(runs.add_notes, [text])
        say_note(self.progress, text)

    def store(
        self,
        write: Callable[Concatenate[Connection, int, Given], None],
        *args: Given.args,
        **kwargs: Given.kwargs,
    ) -> None:
        """Commit rows of the run: ``write`` gets a connection, the run's id, and what else is given here."""
        with self.db.write() as connection:
            write(connection, self.run_id, *args, **kwargs)

    def work_through(self, watch: Watch, batches: Iterable[Done[Row]], commit: Callable[[list[Row]], None]) -> None:
        """Do all batches, as ``batches`` makes them, and keep those before one that fails.

        The rows of a batch are committed together, those of short ones with the next; Ctrl-C stops after that.
        """
        waiting: list[Row] = []

        def keep() -> None:
            if waiting:
                commit(waiting[:])
            waiting.clear()

        committed = time.monotonic()
        for done in _followed(batches, keep):
            waiting += done.rows
            watch.advance(done.n_units, done.n_tokens)
            if self.stop.asked or time.monotonic() - committed >= COMMIT_SECONDS:
                keep()
                committed = time.monotonic()
                self.stop.here()
        keep()


def _followed(batches: Iterable[Done[Row]], keep: Callable[[], None]) -> Iterator[Done[Row]]:
    """The batches; what has been done is kept before the error of one leaves here."""
    try:
        yield from batches
    except Exception:
        keep()
        raise


def patient(db: Database) -> Database:
    """The same database for a job, which waits long for a lock; a connection that is open is given up."""
    db.let_go()
    return Database(db.path, _LOCK_SECONDS)


@contextmanager
def at_work(db: Database, run_id: int, progress: ProgressCallback) -> Iterator[Job]:
    """Work on a run: Ctrl-C first asks to stop, and a full disk is said in one line. Raises RunError."""

    with db.lingering(writer_reads=True), room_needed(db.path), held_back(lambda: say(progress, _STOPPING)) as stop:
        yield Job(db, run_id, progress, stop)
