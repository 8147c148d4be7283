"""Files that are there whole or not at all, also after a crash."""

import errno
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb

from snql.db.outputs import check_output, resolved
from snql.errors import InputError, RunError

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
_KEPT = 64
"""Letters of a file's name in its unfinished one: names have an end."""
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, and give it its own once it is on the disk; nothing stays of a failed try.

    The other name is made up, and of a new file: what somebody put there, a link to another file, is not written to.
    A file that is replaced keeps its permissions; through a link, what it leads to is replaced.
    """
    path = resolved(path) if path.is_symlink() else path
    if path.is_symlink():  # still: it leads back to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path))
    unfinished = path.with_name(f".{path.name[:_KEPT]}.{secrets.token_hex(8)}.tmp")
    try:
        with os.fdopen(os.open(unfinished, _NEW, 0o666), "wb") as file:
            if path.exists():
                unfinished.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


@contextmanager
def written(path: Path, database: Path | None = None) -> Iterator[BinaryIO]:
    """A file that a user named, to write to: replaced when it is whole, or a device or pipe as it is.

    Raises InputError for a folder, and for what belongs to the database.
    """
    if database is not None:
        check_output(database, path)
    if path.is_dir():
        raise InputError(f"{path} is a folder: name a file in it")
    if path.exists() and not path.is_file():
        with path.open("wb") as file:
            yield file
        return
    with replaced(path) as file:
        yield file


@contextmanager
def room_needed(database: Path) -> Iterator[None]:
    """Say in one line that the disk is full, whoever found out. Raises RunError."""
    try:
        yield
    except (OSError, duckdb.Error) as error:
        if _disk_full(error):
            raise RunError(
                f"no room on the disk that holds {database} and what the run keeps beside it: free some, then go on "
                "with `resume`"
            ) from error
        raise


def _disk_full(error: OSError | duckdb.Error) -> bool:
    if isinstance(error, OSError):
        return error.errno in _FULL
    return any(os.strerror(code) in str(error) for code in _FULL)
