"""The SQL files that the package ships, and the order in which views and macros can be created."""

import hashlib
import re
from collections.abc import Callable
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


@cache
def read_folder(folder: str) -> tuple[Script, ...]:
    """The SQL files of a folder of the schema, by name."""
    entries = files("snql.schema").joinpath(folder).iterdir()
    scripts = [
        Script(entry.name.removesuffix(".sql"), entry.read_text("utf-8"))
        for entry in entries
        if entry.name.endswith(".sql")
    ]
    return tuple(sorted(scripts, key=lambda script: script.name))


@cache
def query(name: str) -> str:
    """The text of a query of ``schema/queries``, whose parameters are named."""
    return {script.name: script.sql for script in read_folder("queries")}[name]


@cache
def migrations() -> tuple[Script, ...]:
    """All migrations in order.

    Raises DatabaseError if a name is malformed or the numbers are not 1, 2, 3, …
    """
    return check_numbering(read_folder("migrations"))


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
def tables() -> tuple[Script, ...]:
    """The descriptions of all tables, which migrations make, each after those it refers to."""
    return _ordered({script.name: script for script in read_folder("tables")}, _references)


@cache
def objects() -> tuple[Script, ...]:
    """All views and macros, each after those it uses."""
    return _ordered({script.name: script for script in (*read_folder("views"), *macros())}, _words)


def macros() -> tuple[Script, ...]:
    """All macros, in the order of their names."""
    return read_folder("macros")


def _ordered(found: dict[str, Script], needs: Callable[[str], set[str]]) -> tuple[Script, ...]:
    needed = {name: needs(script.sql) for name, script in found.items()}
    # Lists in the order of names, not sets: the order must be the same in every process.
    graph = {name: [other for other in sorted(found) if other != name and other in needed[name]] for name in found}
    return tuple(found[name] for name in TopologicalSorter(graph).static_order())


@cache
def objects_sha256() -> str:
    """One hash over all views, macros and descriptions of tables, to see whether a database has the current ones."""
    folders = (read_folder(name) for name in ("macros", "tables", "views"))
    return hashlib.sha256("".join(script.sha256 for folder in folders for script in folder).encode()).hexdigest()


def _words(sql: str) -> set[str]:
    return set(re.findall(r"\w+", re.sub(r"--[^\n]*", "", sql)))


def _references(header: str) -> set[str]:
    return set(re.findall(r" -> (\w+)\.", header))
