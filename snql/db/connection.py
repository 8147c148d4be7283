"""One database file: many short readers, one short writer.

DuckDB lets one process write or several read. Jobs therefore call :meth:`Database.write` only for short commits,
and both sides wait for a lock held by somebody else.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import polars as pl

from snql.db import migrate
from snql.errors import DatabaseError

STORAGE_VERSION = "v1.5.0"
"""Files are written so that DuckDB 1.5 and later read them."""

LOCK_TIMEOUT_SECONDS = 30.0


class Database:
    """An snql database file.

    Opening never creates a file; :meth:`initialise` and :meth:`write` do. One reading connection is kept between
    queries and given up before a write, so relations from :meth:`sql` end when a job writes.
    """

    def __init__(self, path: str | Path, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = Path(path)
        self._lock_timeout = lock_timeout
        self._reader: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({str(self.path)!r})"

    def close(self) -> None:
        """Give up the reading connection, if there is one."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def initialise(self) -> list[str]:
        """Create the file if need be and apply missing migrations; return the names of those applied."""
        with self._writer() as connection:
            return migrate.migrate(connection, self.path)

    def sql(self, query: str, parameters: Sequence[object] | None = None) -> duckdb.DuckDBPyRelation:
        """Run one query read-only, with no access to other files, and return DuckDB's relation.

        Raises DatabaseError if the file cannot be read; DuckDB's own errors pass through.
        """
        return self._reading().sql(query, params=list(parameters) if parameters is not None else None)

    def frame(self, query: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Run one query read-only and return its rows as a Polars frame."""
        relation = self._reading().sql(query, params=list(parameters))
        frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
        return frame

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one query read-only and return its rows as tuples."""
        return self._reading().execute(query, list(parameters)).fetchall()

    def last_frame(self, script: str, parameters: Mapping[str, object]) -> pl.DataFrame:
        """Run the statements of a script read-only and return the last one's rows.

        ``parameters`` are bound by name to the statements that use them.
        """
        connection = self._reading()
        frame = pl.DataFrame()
        for statement in connection.extract_statements(script):
            wanted = {name: parameters[name] for name in statement.named_parameters if name in parameters}
            relation = connection.sql(statement.query, params=wanted or None)
            frame = pl.DataFrame() if relation is None else relation.pl()
        return frame

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for writing, in one transaction that commits at the end of the block.

        A missing file is created. On an exception everything in the block is rolled back. Raises DatabaseError if
        the schema is not this snql's or the lock is not free within the time allowed.
        """
        with self._writer() as connection:
            missing = migrate.check(connection, self.path)
            if missing and migrate.tables(connection):
                raise DatabaseError(f"{self.path} has an older schema: run `snql --db {self.path} db migrate`")
            if missing:
                migrate.migrate(connection, self.path)
            migrate.refresh_objects(connection)
            connection.begin()
            try:
                yield connection
                connection.commit()
            except BaseException:
                connection.rollback()
                raise

    @contextmanager
    def _writer(self) -> Iterator[duckdb.DuckDBPyConnection]:
        self.close()
        if not self.path.parent.is_dir():
            raise DatabaseError(f"no folder {self.path.parent} to hold the database {self.path.name}: create it")
        connection = self._connect(read_only=False)
        try:
            yield connection
        finally:
            connection.close()

    def _reading(self) -> duckdb.DuckDBPyConnection:
        if self._reader is None:
            if not self.path.exists():
                raise DatabaseError(
                    f"no database at {self.path}: run `snql demo` or `snql locate` first, or name one with --db"
                )
            connection = self._connect(read_only=True)
            try:
                if migrate.check(connection, self.path):
                    raise DatabaseError(f"{self.path} has an older schema: run `snql --db {self.path} db migrate`")
                if not migrate.objects_current(connection):
                    raise DatabaseError(
                        f"{self.path} has the views of another snql: run `snql --db {self.path} db migrate`"
                    )
            except BaseException:
                connection.close()
                raise
            self._reader = connection
        return self._reader

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._lock_timeout
        config: dict[str, str | bool | int | float | list[str]] = (
            {"enable_external_access": False, "lock_configuration": True}
            if read_only
            else {"storage_compatibility_version": STORAGE_VERSION}
        )
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=config)
            except (duckdb.IOException, duckdb.ConnectionException, duckdb.SerializationException) as error:
                if not _is_lock(error) or time.monotonic() > deadline:
                    raise DatabaseError(_explain(error, self.path)) from error
            time.sleep(0.02)


def _is_lock(error: duckdb.Error) -> bool:
    return "Could not set lock" in str(error)


def _explain(error: duckdb.Error, path: Path) -> str:
    text = " ".join(str(error).split())
    if _is_lock(error):
        return f"{path} is locked by another program that writes to it: wait for it, or close it"
    if "not a valid DuckDB" in text:
        return f"{path} is not a DuckDB database: name another file with --db"
    if "different configuration" in text:
        return f"{path} is open elsewhere in this Python process: close that connection first"
    if "ermission denied" in text or "read-only" in text.lower():
        return f"{path} cannot be opened for writing (permission denied): change its permissions or use --db"
    if path.is_dir():
        return f"{path} is a folder, not a database file: name a file with --db"
    return f"{path} cannot be opened: {text}"


def open_database(path: str | Path) -> Database:
    """Open an snql database; the file is read or created when it is first used."""
    return Database(path)
