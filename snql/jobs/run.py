"""The one way that a job goes: free or done already? load, begin, work, finish; and what became of it stays in its row.

A verb gives what is its own: how its models and prompts are loaded and checked, what it does with them, and how what it
found is read from the database.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass, field
from typing import TypeVar

from snql.db import runs
from snql.db.claims import Claim
from snql.db.connection import Connection, Database
from snql.jobs.begin import Beginning, begin_run
from snql.jobs.work import Job, at_work, patient
from snql.progress import ProgressCallback, say, say_note

Result = TypeVar("Result")

Announce = Callable[[], None]
"""Puts the run's row into the database: to be called when all is checked that needs no model, before one is loaded."""

Last = Callable[[Connection], None]
"""Writes what follows from all that a run has done, in the transaction that ends it."""


@dataclass(frozen=True)
class Loaded:
    """A run that can begin: nothing but its row is written before it.

    work: does what is not done yet, committing as it goes; returns what is written last, if anything. held: what is to
    be closed at the end, such as an engine.
    """

    beginning: Beginning
    work: Callable[[Job], Last | None]
    held: AbstractContextManager[object] = field(default_factory=nullcontext)


def run_job(
    db: Database,
    new: runs.NewRun,
    load: Callable[[Announce], Loaded],
    summary: Callable[[int], Result],
    *,
    resume: bool,
    force: bool,
    progress: ProgressCallback,
    claim: Claim | None = None,
) -> Result:
    """Do a run, or what is left of it; returns the ``summary`` of its id.

    load: loads and checks all that the run needs; raises InputError for bad input, and nothing stays. Raises
    InputError if the name is taken, or if the run to resume began with other settings, files or prompts. A failure of
    the work, or Ctrl-C, leaves the run's row with its reason and all that was committed. claim: of a run that had to
    load its models before.
    """
    with db.lingering(), ExitStack() as held:
        resumed = runs.check_free(db, new, resume=resume, force=force)
        if resumed is not None and resumed.status == "done":
            return summary(resumed.run_id)
        own_claim = held.enter_context(claim or Claim(db, new, resumed, force=force))
        loaded = load(own_claim.take)
        work = loaded.work
        held.enter_context(loaded.held)
        run_id = begin_run(db, new, resumed, loaded.beginning, force=force)
        own_claim.settle()
        for remark in loaded.beginning.remarks:
            say(progress, remark)
        for text in loaded.beginning.all_notes:
            say_note(progress, text)
        del loaded  # from here on prompts are read from the database, by those that need them
        own = patient(db)
        with runs.recorded(own, run_id), at_work(own, run_id, progress) as job:
            last = work(job)
            with own.write() as connection:
                if last is not None:
                    last(connection)
                runs.finish_run(connection, run_id)
        job.stop.here()  # what comes after it was to stop as well
        held.close()
        with db.reading():  # opening the file takes longer than what is asked of it
            return summary(run_id)
