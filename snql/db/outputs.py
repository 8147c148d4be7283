"""Where results may be written."""

from pathlib import Path

from snql.errors import InputError


def check_output(database: Path, output: Path) -> None:
    """Raise InputError if a file that is to be written is the database, or among those that it keeps beside it."""
    target = output.resolve()
    kept = [database.with_name(database.name + ending) for ending in (".shards", ".staging", ".wal")]
    if target == database.resolve() or any(target.is_relative_to(folder.resolve()) for folder in kept):
        raise InputError(f"`output` {output} is the database {database} or part of it: name another file")
