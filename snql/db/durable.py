"""Files that are there whole or not at all, also after a crash."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import duckdb

from snql.errors import RunError

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


@contextmanager
def replaced(path: Path) -> Iterator[BinaryIO]:
    """Write a file under another name, and give it its own once it is on the disk; nothing stays of a failed try."""
    unfinished = path.with_name(path.name + ".tmp")
    try:
        with unfinished.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        unfinished.replace(path)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


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
