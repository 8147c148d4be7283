"""What the global options say, for every command."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from .flags import with_flags

if TYPE_CHECKING:
    from snql.db.connection import Database


@dataclass(frozen=True)
class State:
    """The database file, whether results are JSON, whether to keep quiet, and the tree of all commands."""

    database: Path
    json: bool
    quiet: bool
    root: Any

    def open(self) -> "Database":
        """The database; nothing is read or created before it is used."""
        from snql.db.connection import Database

        return Database(self.database)

    def flagged(self, text: str, *words: str) -> str:
        """A text of the library, options in it as flags: of the command that the words name, or else of any."""
        command = self.root
        for word in words:
            command = getattr(command, "commands", {}).get(word, command)
        return with_flags(text, command, self.root)


def state(context: typer.Context) -> State:
    """The state that the top-level callback stored."""
    stored = context.find_root().obj
    if not isinstance(stored, State):
        raise TypeError("a command ran without the top-level callback")
    return stored
