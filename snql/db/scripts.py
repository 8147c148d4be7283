"""The SQL files that the package ships, and the order in which views and macros can be created."""

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files

from snql.errors import DatabaseError

_MIGRATION_NAME = re.compile(r"^(\d{4})_([a-z0-9_]+)$")


@dataclass(frozen=True)
class Script:
    """One SQL file. ``name`` is its stem; ``sha256`` the hash of its text."""

    name: str
    sql: str

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.sql.encode()).hexdigest()

    @property
    def number(self) -> int:
        """The number of a migration; 0 for other scripts."""
        match = _MIGRATION_NAME.match(self.name)
        return int(match.group(1)) if match else 0


def read_folder(folder: str) -> list[Script]:
    """The SQL files of a folder of the schema, by name."""
    entries = files("snql.schema").joinpath(folder).iterdir()
    scripts = [
        Script(entry.name.removesuffix(".sql"), entry.read_text("utf-8"))
        for entry in entries
        if entry.name.endswith(".sql")
    ]
    return sorted(scripts, key=lambda script: script.name)


@cache
def migrations() -> tuple[Script, ...]:
    """All migrations in order.

    Raises DatabaseError if a name is malformed or the numbers are not 1, 2, 3, …
    """
    return check_numbering(tuple(read_folder("migrations")))


def check_numbering(scripts: tuple[Script, ...]) -> tuple[Script, ...]:
    """Return the scripts if their numbers run 1, 2, 3, …; raise DatabaseError otherwise."""
    for expected, script in enumerate(scripts, start=1):
        if script.number != expected:
            raise DatabaseError(
                f"migration file {script.name}.sql should have number {expected:04d}: "
                "the installed snql is damaged; install it again"
            )
    return scripts


@cache
def objects() -> tuple[Script, ...]:
    """All views and macros, each after those it uses."""
    scripts = {script.name: script for folder in ("views", "macros") for script in read_folder(folder)}
    words = {name: set(re.findall(r"\w+", _code(script.sql))) for name, script in scripts.items()}
    # Lists in the order of names, not sets: the order must be the same in every process.
    graph = {name: [other for other in sorted(scripts) if other != name and other in words[name]] for name in scripts}
    return tuple(scripts[name] for name in TopologicalSorter(graph).static_order())


@cache
def objects_sha256() -> str:
    """One hash over all views and macros, to see whether a database has the current ones."""
    by_name = sorted(objects(), key=lambda script: script.name)
    return hashlib.sha256("".join(script.sha256 for script in by_name).encode()).hexdigest()


def _code(sql: str) -> str:
    return re.sub(r"--[^\n]*", "", sql)
