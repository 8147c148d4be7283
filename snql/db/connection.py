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

from snql.db import migrate, shards
from snql.errors import DatabaseError

STORAGE_VERSION = "v1.5.0"
"""Files are written so that DuckDB 1.5 and later read them."""

LOCK_TIMEOUT_SECONDS = 30.0

_LOCKED_DOWN = {"enable_external_access": "false", "lock_configuration": "true"}
_WRITING = (duckdb.StatementType.COPY, duckdb.StatementType.EXPORT)
_POLL_SECONDS = {True: 0.02, False: 0.005}
"""Between tries for the lock, for readers and for writers, who must find the gap between readers."""


class Database:
    """An snql database file.

    Opening never creates a file; :meth:`initialise` and :meth:`write` do. A query opens the file, reads and closes it
    again, so that it keeps nobody from writing; within :meth:`reading`, and once :meth:`sql` has given a relation, one
    connection is kept. It is given up before a write and by :meth:`close`, and relations end with it.
    """

    def __init__(self, path: str | Path, lock_timeout: float = LOCK_TIMEOUT_SECONDS) -> None:
        self.path = Path(path)
        self._lock_timeout = lock_timeout
        self._reader: duckdb.DuckDBPyConnection | None = None
        self._kept = False

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({str(self.path)!r})"

    def close(self) -> None:
        """Give up the reading connection, if there is one."""
        self._kept = False
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Read with one connection for the whole block: the file's state does not change meanwhile, nor can it."""
        kept, self._kept = self._kept, True
        try:
            yield self._reading()
        finally:
            self._kept = self._kept and kept
            if not self._kept:
                self.close()

    def initialise(self) -> list[str]:
        """Create the file if need be and apply missing migrations; return the names of those applied."""
        with self._writer() as connection:
            return migrate.migrate(connection, self.path)

    def sql(self, query: str, parameters: Sequence[object] | None = None) -> duckdb.DuckDBPyRelation:
        """Run one query read-only, with no access to other files, and return DuckDB's relation.

        The file stays open for it, and nobody can write, until :meth:`close`. Raises DatabaseError if the file cannot
        be read; DuckDB's own errors pass through.
        """
        self._kept = True
        connection = _refuse_writing(self._reading(), query)
        return connection.sql(query, params=list(parameters) if parameters is not None else None)

    def frame(self, query: str, parameters: Sequence[object] = ()) -> pl.DataFrame:
        """Run one query read-only and return its rows as a Polars frame."""
        with self.reading() as connection:
            relation = _refuse_writing(connection, query).sql(query, params=list(parameters))
            frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
        return frame

    def rows(self, query: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one query read-only and return its rows as tuples."""
        with self.reading() as connection:
            return connection.execute(query, list(parameters)).fetchall()

    def last_frame(self, script: str, parameters: Mapping[str, object]) -> pl.DataFrame:
        """Run the statements of a script read-only and return the last one's rows.

        ``parameters`` are bound by name to the statements that use them.
        """
        with self.reading() as connection:
            frame = pl.DataFrame()
            for statement in _refuse_writing(connection, script).extract_statements(script):
                wanted = {name: parameters[name] for name in statement.named_parameters if name in parameters}
                relation = connection.sql(statement.query, params=wanted or None)
                frame = pl.DataFrame() if relation is None else relation.pl()
        return frame

    @contextmanager
    def write(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the file for writing, in one transaction that commits at the end of the block.

        A missing file is created. On an exception everything in the block is rolled back. Raises DatabaseError if
        the schema is not this snql's or the lock is not free within the time allowed; DuckDB's own errors pass through.
        """
        with self._writer() as connection:
            missing = migrate.check(connection, self.path)
            if missing and migrate.tables(connection):
                raise DatabaseError(f"{self.path} has an older schema: run `snql --db {self.path} db migrate`")
            if missing:
                migrate.migrate(connection, self.path)
            migrate.refresh_objects(connection)
            connection.begin()
            yield connection  # an exception closes the connection, and so drops the transaction
            connection.commit()

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
                self._lock_down(connection)
            except BaseException:
                connection.close()
                raise
            self._reader = connection
        return self._reader

    def _lock_down(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Let the connection read the Parquet shards of finished runs, and no other file."""
        query, files = shards.selection(connection, self.path)
        if files:
            connection.execute("SET VARIABLE snql_shards = $1", [query])
        ((locked,),) = connection.execute("SELECT current_setting('lock_configuration')").fetchall()
        if locked:  # by another connection of this process to the same file
            return
        if files:
            connection.execute("SET allowed_paths = $1", [files])
        for name, value in _LOCKED_DOWN.items():
            connection.execute(f"SET {name} = {value}")

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        deadline = time.monotonic() + self._lock_timeout
        config: dict[str, str | bool | int | float | list[str]] = (
            {} if read_only else {"storage_compatibility_version": STORAGE_VERSION}
        )
        while True:
            try:
                return duckdb.connect(str(self.path), read_only=read_only, config=config)
            except (duckdb.IOException, duckdb.ConnectionException, duckdb.SerializationException) as error:
                if not _is_lock(error) or time.monotonic() > deadline:
                    raise DatabaseError(_explain(error, self.path)) from error
            time.sleep(_POLL_SECONDS[read_only])


def _refuse_writing(connection: duckdb.DuckDBPyConnection, sql: str) -> duckdb.DuckDBPyConnection:
    """The connection, unless the SQL would write a file: the shards that it may read, it could also overwrite."""
    for statement in connection.extract_statements(sql):
        if statement.type in _WRITING:
            raise duckdb.PermissionException("Permission Error: file system operations are disabled: use --output")
    return connection


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
