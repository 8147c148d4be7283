"""Where results may be written."""

import os
from pathlib import Path

from snql.errors import InputError


def resolved(path: Path) -> Path:
    """What a path leads to; of a link that leads back to itself, as far as it leads: opening it says what is wrong."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for it


def check_output(database: Path, output: Path) -> None:
    """Raise InputError if a file that is to be written is the database, or among those that it keeps beside it."""
    target = resolved(output)
    kept = [database.with_name(database.name + ending) for ending in (".shards", ".staging", ".wal")]
    if target == resolved(database) or any(target.is_relative_to(resolved(folder)) for folder in kept):
        raise InputError(f"`output` {output} is the database {database} or part of it: name another file")
