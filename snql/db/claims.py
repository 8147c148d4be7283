"""A run's row while its models are loaded: whoever looks finds it at work, and no trace of one that did not begin."""

from contextlib import suppress
from types import TracebackType

import duckdb

from snql.db import runs
from snql.db.connection import Database
from snql.errors import DatabaseError


class Claim:
    """The row of a run that is about to be loaded: unless the block reaches :meth:`settle`, all is as it was before.

    A run that ``force`` replaces keeps its row and results until then.
    """

    def __init__(self, db: Database, new: runs.NewRun, resumed: runs.RunState | None, *, force: bool) -> None:
        self._db, self._new, self._resumed, self._force = db, new, resumed, force
        self._run_id: int | None = None
        self._before: tuple[object, ...] | None = None
        self._created = False

    def __enter__(self) -> "Claim":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        run_id, self._run_id = self._run_id, None
        if run_id is not None:
            self._undo(run_id)

    def take(self) -> None:
        """Put the row there with status running; creates the database if need be.

        Raises InputError if another process has taken the name, or the run, since it was checked.
        """
        if self._run_id is not None:
            return
        found = runs.find_run(self._db, self._new.kind, self._new.name)
        if found is not None and found.begun and self._resumed is None and self._force:
            return
        self._created = not self._db.path.exists()
        with self._db.write() as connection:
            if self._resumed is not None:
                query = f"SELECT {', '.join(_CHANGED)} FROM runs WHERE run_id = ?"  # noqa: S608
                self._before = connection.execute(query, [self._resumed.run_id]).fetchone()
            self._run_id = runs.start_run(connection, self._new, self._resumed, force=False)

    def settle(self) -> None:
        """The run has begun: its row stays, whatever becomes of it."""
        self._run_id = None

    def _undo(self, run_id: int) -> None:
        """Where that cannot be written, the row is one of a process that is gone: the name is free all the same."""
        with suppress(DatabaseError, duckdb.Error, OSError):
            with self._db.write() as connection:
                if self._before is not None:
                    values = ", ".join(f"{name} = ?" for name in _CHANGED)
                    connection.execute(f"UPDATE runs SET {values} WHERE run_id = ?", [*self._before, run_id])  # noqa: S608
                else:
                    connection.execute(f"DELETE FROM runs WHERE run_id = ? AND NOT ({runs.BEGUN})", [run_id])  # noqa: S608
                empty = connection.execute("SELECT count(*) = 0 FROM runs").fetchone() == (True,)
            if self._created and empty:
                self._db.close()
                self._db.path.unlink()


_CHANGED = ("status", "error", "finished_at", "owner")
"""Columns that resuming a run changes."""
