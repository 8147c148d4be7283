"""New databases in tests are copies of a finished one: making one takes most of a second, copying it milliseconds."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import duckdb
import pytest

from snql.db import scripts
from snql.db.connection import Database

Connect = Callable[..., duckdb.DuckDBPyConnection]
_MAKING: Connect = Database._connect


def _schema() -> tuple[str, ...]:
    """What this process would make of a new file; a test may have put other migrations in place."""
    return (scripts.objects_sha256(), *(script.sha256 for script in scripts.migrations()))


@contextmanager
def copied(folder: Path) -> Iterator[None]:
    """Whatever creates a database gets a copy, of one that is made in ``folder`` at first use."""
    made: dict[tuple[str, ...], Path] = {}

    def connect(database: Database, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        if not read_only and not database.path.exists():
            schema = _schema()
            if schema not in made:
                with from_scratch():
                    Database(folder / f"{len(made)}.duckdb").initialise()
                made[schema] = folder / f"{len(made)}.duckdb"
            _place(made[schema], database.path)
        return _MAKING(database, read_only=read_only)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_connect", connect)
        yield


@contextmanager
def from_scratch() -> Iterator[None]:
    """Databases are made as users make them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Database, "_connect", _MAKING)
        yield


def _place(finished: Path, path: Path) -> None:
    """A copy at ``path``, whole from its first moment on; nothing where no file can be, or another was quicker."""
    half = path.with_name(f"{path.name}.{os.getpid()}")
    with suppress(OSError):
        shutil.copy(finished, half)
        os.link(half, path)
    half.unlink(missing_ok=True)
