"""Where results may be written."""

import os
from pathlib import Path

from snql.errors import InputError

_LONGEST_NAME = 255
"""What file systems take."""


def resolved(path: Path) -> Path:
    """What a path leads to; of a link that leads back to itself, as far as it leads: opening it says what is wrong."""
    return Path(os.path.realpath(path))  # Path.resolve raises RuntimeError for it


def check_folder(out: Path, what: str) -> None:
    """Raise InputError if a folder can neither be made nor written to at ``out``; nothing is made.

    what: is to be written there, such as ``a report``.
    """
    if any(len(os.fsencode(part)) > _LONGEST_NAME for part in out.parts):
        raise InputError(f"{out} has a name of more than {_LONGEST_NAME} bytes: choose a shorter `out`")
    if os.path.lexists(out) and not out.is_dir():
        raise InputError(f"{out} is a file, not a folder to write {what} to: name a folder with `out`")
    above = next(place for place in out.absolute().parents if os.path.lexists(place))
    if not above.is_dir() or not os.access(above, os.W_OK) or (out.is_dir() and not os.access(out, os.W_OK)):
        raise InputError(f"cannot write beside {out}: {above} takes no files; choose another `out`")


def check_output(database: Path, output: Path) -> None:
    """Raise InputError if a file that is to be written is the database, or among those that it keeps beside it."""
    target = resolved(output)
    kept = [database.with_name(database.name + ending) for ending in (".shards", ".staging", ".wal")]
    if target == resolved(database) or any(target.is_relative_to(resolved(folder)) for folder in kept):
        raise InputError(f"`output` {output} is the database {database} or part of it: name another file")
