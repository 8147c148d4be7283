"""What DuckDB says of a file that is damaged, in one line with what can be done; and what is no DuckDB file at all."""

import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from snql.errors import SURROGATE, DatabaseError, InputError, line

_MAGIC, _MAGIC_AT = b"DUCK", 8
HEADERS = 3 * 4096
"""Bytes before the first block."""
_SQLITE = b"SQLite format 3\0"
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:|:memory:")
"""How a name begins that DuckDB takes for something else than a file; one letter is a drive."""
_NO_TEXT = "cannot encode str as UTF-8"
_HALF = "holds half of a surrogate pair, which is no text: repair it"
_SHORT = re.compile(r'Could not read enough bytes from file "(?P<file>.*?)"', re.DOTALL)
_NO_LOG = re.compile(r'Cannot open file "[^"]*\.wal": ([A-Z][a-z -]+)')
_LOG = re.compile(r"replaying WAL|Corrupt WAL|WAL file", re.IGNORECASE)
_CORRUPT = re.compile(r"Corrupt database file|does not match stored checksum", re.IGNORECASE)


def check_kind(path: Path) -> None:
    """Raise DatabaseError for a name of no file, and for a file that is no DuckDB database.

    DuckDB would look for an extension that reads it, and try to download that one; reading a pipe would wait for ever.
    """
    if SURROGATE.search(str(path.absolute())):
        raise DatabaseError(f"{str(path)!r} lies in a folder, or has a name, that is not UTF-8: rename it")
    if (scheme := _SCHEME.match(str(path))) is not None:
        raise DatabaseError(f"{path} is no file ({scheme.group()} is not opened): name a database file with `db`")
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise DatabaseError(f"{path} is a device or a pipe, not a file: name a database file with `db`")
        with path.open("rb") as file:
            start = file.read(16)
    except OSError:
        return  # DuckDB says better what is wrong with it
    if start and start[_MAGIC_AT : _MAGIC_AT + len(_MAGIC)] != _MAGIC:
        kind = "an SQLite database, not a DuckDB one" if start == _SQLITE else "not a DuckDB database"
        raise DatabaseError(f"{path} is {kind}: name another file with `db`")


def check_length(path: Path, connection: duckdb.DuckDBPyConnection) -> None:
    """Raise DatabaseError if the file ends within a block, or has fewer blocks than are in use; nobody may be writing.

    Blocks that are free may lie behind its end.
    """
    query = "SELECT block_size, used_blocks FROM pragma_database_size() WHERE block_size > 0"
    for block_size, n_used in connection.execute(query).fetchall():
        n_blocks, part = divmod(path.stat().st_size - HEADERS, block_size)
        if part or n_blocks < n_used:
            raise DatabaseError(_short(path))


def damage(error: duckdb.Error, path: Path) -> str | None:
    """The line that says how the database at ``path`` is damaged; None if the error is about something else."""
    text = str(error)
    if (refused := _NO_LOG.search(text)) is not None:
        return (
            f"{path} cannot be written to, for its log {path.name}.wal cannot be made ({refused[1]}): let its folder "
            "take files, or copy the database to one that does"
        )
    if _LOG.search(text):
        return (
            f"{path}.wal, the log of what was written last, is damaged: move it away to open {path.name} without what "
            "it holds, or restore both files from a copy"
        )
    if (short := _SHORT.search(text)) is not None:
        return _short(path) if Path(short["file"]).absolute() == path.absolute() else None
    if _CORRUPT.search(text):
        return f"{path} is damaged (a block does not have its checksum): restore it from a copy"
    return None


@contextmanager
def damage_said(path: Path) -> Iterator[None]:
    """Say in one line that the database is damaged, whoever found out. Raises DatabaseError.

    Raises InputError for a text that is none: DuckDB takes UTF-8.
    """
    try:
        yield
    except UnicodeEncodeError as error:
        raise InputError(f"{line(error.object, 40)!r} {_HALF}") from error
    except duckdb.Error as error:
        if _NO_TEXT in str(error):
            raise InputError(f"a value {_HALF}") from error
        if (said := damage(error, path)) is not None:
            raise DatabaseError(said) from error
        raise


def _short(path: Path) -> str:
    return (
        f"{path} is damaged (it ends before its last block, as after a full disk or a copy that was cut off): restore "
        "it from a copy"
    )
