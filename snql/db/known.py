"""Names that a database has, for those who type them; none where it cannot be read at once."""

from pathlib import Path

import duckdb

from snql.db.connection import Database
from snql.errors import DatabaseError


def run_names(path: Path, kind: str | None = None) -> list[str]:
    """The runs of one kind, or of all."""
    return _names(path, "SELECT DISTINCT name FROM runs WHERE kind = coalesce($1, kind) ORDER BY name", [kind])


def set_names(path: Path) -> list[str]:
    """The saved sets."""
    return _names(path, "SELECT name FROM named_sets ORDER BY name", [])


def judge_names(path: Path) -> list[str]:
    """The judges that have scored something."""
    return _names(path, "SELECT DISTINCT judge FROM judgements ORDER BY judge", [])


def _names(path: Path, query: str, parameters: list[str | None]) -> list[str]:
    if not path.is_file():
        return []
    try:
        return [name for (name,) in Database(path, lock_timeout=0).rows(query, parameters)]
    except (DatabaseError, duckdb.Error, OSError):
        return []
