"""Connections that outlive their use by a moment: what a job asks next need not open the file anew.

Opening takes some 30 ms, of which most is DuckDB's own start; benchmarks/openings.py has what short jobs save.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import duckdb

SECONDS = 0.1
"""How long a connection waits for its next use; other programs wait as long for it."""
_MOST_SECONDS = 0.3
"""How long a connection may serve one use after another: then others get their turn."""
TURN = threading.RLock()
"""Files are opened and closed by one thread at a time: closing one takes from this process all locks on it, those of a
connection that another thread has just opened as well."""
_ALL: dict[Path, "Lingering"] = {}
"""By file: DuckDB gives a process no second connection to a file that differs from the first in what it may do."""


@dataclass(frozen=True)
class Idle:
    """A connection that waits, and the access that one has which can only read."""

    connection: duckdb.DuckDBPyConnection
    read_only: bool
    access: object = None


class Lingering:
    """At most one connection to one file, which is nobody's just now; safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.users = 0
        self._idle: Idle | None = None
        self._timer: threading.Timer | None = None
        self._last: duckdb.DuckDBPyConnection | None = None
        self._since = 0.0

    def take(self, fits: Callable[[Idle], bool]) -> Idle | None:
        """The connection, if one waits that fits; one that does not is closed."""
        with TURN:
            idle = self._taken()
            if idle is not None and not fits(idle):
                idle.connection.close()
                return None
            return idle

    def give(self, idle: Idle) -> None:
        """Keep a connection for a moment; one that has been used for long is closed."""
        with TURN:
            if idle.connection is not self._last:
                self._last, self._since = idle.connection, time.monotonic()
            self.drop()
            if time.monotonic() - self._since > _MOST_SECONDS:
                idle.connection.close()
                return
            self._idle = idle
            self._timer = threading.Timer(SECONDS, self.drop)
            self._timer.daemon = True
            self._timer.start()

    def drop(self) -> None:
        """Close what waits."""
        with TURN:
            if (idle := self._taken()) is not None:
                idle.connection.close()

    def _taken(self) -> Idle | None:
        idle, self._idle = self._idle, None
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        return idle


def enter(path: Path) -> Lingering:
    """What lingers of a file, for all in this process that use it; to be left by :func:`leave`."""
    with TURN:
        path = path.absolute()
        found = _ALL.setdefault(path, Lingering(path))
        found.users += 1
        return found


def leave(found: Lingering) -> None:
    """Close what waits, if nobody else in this process lets connections to the file wait."""
    with TURN:
        found.users -= 1
        if not found.users:
            found.drop()
            del _ALL[found.path]


def close(connection: duckdb.DuckDBPyConnection) -> None:
    """Close a connection in its turn."""
    with TURN:
        connection.close()


def drop(path: Path) -> None:
    """Close what waits in this process for a next use of this file."""
    if (found := _ALL.get(path.absolute())) is not None:
        found.drop()
