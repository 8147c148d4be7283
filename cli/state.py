"""What the global options say, for every command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from snql.db.connection import Database


@dataclass(frozen=True)
class State:
    """The database file, whether results are JSON, and whether to keep quiet."""

    database: Path
    json: bool
    quiet: bool

    def open(self) -> "Database":
        """The database; nothing is read or created before it is used."""
        from snql.db.connection import Database

        return Database(self.database)


def state(context: typer.Context) -> State:
    """The state that the top-level callback stored."""
    stored = context.find_root().obj
    if not isinstance(stored, State):
        raise TypeError("a command ran without the top-level callback")
    return stored
