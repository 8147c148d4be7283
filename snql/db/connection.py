"""One database file: many short readers, one short writer.

DuckDB lets one process write or several read. Jobs therefore call :meth:`Database.write` only for short commits,
and both sides wait for a lock held by somebody else.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import duckdb
from typing_extensions import Doc

from snql.db import lingering, migrate, shards
from snql.db.damage import check_kind, damage, damage_said
from snql.db.lingering import Idle
from snql.errors import DatabaseError, InputError
from snql.options import Flag
from snql.stoppable import is_busy

if TYPE_CHECKING:
    import polars as pl

Connection = duckdb.DuckDBPyConnection
Parameters = Sequence[object] | Mapping[str, object]
"""Values for ``?`` or ``$1``, or by name for ``$name``."""

STORAGE_VERSION = "v1.5.0"
"""Files are written so that DuckDB 1.5 and later read them."""

LOCK_TIMEOUT_SECONDS = 30.0

NO_NETWORK: dict[str, str | bool | int | float | list[str]] = {
    "autoload_known_extensions": "false",
    "autoinstall_known_extensions": "false",
    "allow_community_extensions": "false",
}
"""What every connection is opened with: DuckDB else fetches and runs code that a file or a query asks for."""
_Type = duckdb.StatementType
_WRITING = (_Type.COPY, _Type.EXPORT, _Type.COPY_DATABASE, _Type.PREPARE, _Type.EXECUTE)
"""Statements that write files, or can hide one that does."""
_EXPLAIN = re.compile(r"(\s|--[^\n]*\n|/\*.*?\*/)*explain\b(\s+analyze\b)?(\s*\([^)]*\))?", re.IGNORECASE | re.DOTALL)
_MOST_THREADS = 4_096
_SIZE = re.compile(r"0*[1-9]\d{0,8}(\.\d{1,9})?\s*[KMGT]i?B", re.IGNORECASE)
_POLL_SECONDS = {True: 0.02, False: 0.005}
"""Between tries for the lock, for readers and for writers, who must find the gap between readers."""
_LOCKING_DOWN = threading.Lock()
"""Threads that open one file share its settings: only one may look whether they are locked, and lock them."""


@dataclass(frozen=True)
class Access:
    """What SQL that reads may use: with ``files`` any file; at most so much memory (such as ``4GB``) and threads."""

    files: Annotated[bool, Doc("Let the SQL read and write other files."), Flag("--allow-files")] = False
    memory: Annotated[str | None, Doc("Most memory for the query, such as 4GB.")] = None
    threads: Annotated[int | None, Doc("Most threads for the query.")] = None


class Database:
    """An snql database file.

    Opening never creates a file; :meth:`initialise` and :meth:`write` do. A query opens the file, reads and closes it
    again, so that it keeps nobody from writing; within :meth:`reading`, and once :meth:`sql` has given a relation, one
    connection is kept. It is given up before a write and by :meth:`close`, and relations end with it.
    """

    def __init__(
        self,
        path: str | Path,
        lock_timeout: float = LOCK_TIMEOUT_SECONDS,
        access: Access | None = None,
        *,
        checked: bool = False,
    ) -> None:
        """checked: whether the file is known to be DuckDB's, so that nothing looks at it before.

        Several threads must not look: a process that closes a file loses its locks on it, also those that another
        thread's connection reads under.
        """
        self.path = Path(path)
        self._access = access or Access()
        self._lock_timeout = lock_timeout
        self._reader: duckdb.DuckDBPyConnection | None = None
        self._only_reads = True
        self._kept = False
        self._checked = checked
        self._idle: lingering.Lingering | None = None
        self._writer_reads = False

    def __enter__(self) -> "Database":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Database({str(self.path)!r})"

    def close(self) -> None:
        """Give up the connection, if there is one."""
        self.let_go()
        lingering.drop(self.path)

    def let_go(self) -> None:
        """Give up the connection for now: within :meth:`lingering` it may wait for the next who needs one."""
        self._kept = False
        self._give_up()

    def _give_up(self) -> None:
        """Close the reading connection, or leave it for a next use that comes soon."""
        reader, self._reader = self._reader, None
        if reader is None or is_busy(reader):  # closing would wait for it
            return
        if self._idle is not None:
            self._idle.give(Idle(reader, self._only_reads, self._access))
        else:
            lingering.close(reader)

    @contextmanager
    def lingering(self, *, writer_reads: bool = False) -> Iterator[None]:
        """Within the block, a connection waits a moment for its next use before it is closed.

        The next user may be another object of the same file that lets connections wait, too. writer_reads: one that
        may write also serves reading, where all SQL is snql's own.
        """
        outer = self._idle, self._writer_reads
        own = lingering.enter(self.path)
        self._idle, self._writer_reads = own, writer_reads
        try:
            yield
        finally:
            self.let_go()
            self._idle, self._writer_reads = outer
            lingering.leave(own)

    def _serves_reading(self, idle: Idle) -> bool:
        return idle.access == self._access if idle.read_only else self._writer_reads

    @contextmanager
    def reading(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """Read with one connection for the whole block: the file's state does not change meanwhile, nor can it."""
        kept, self._kept = self._kept, True
        try:
            with damage_said(self.path):
                yield self._reading()
        finally:
            self._kept = self._kept and kept
            if not self._kept:
                self._give_up()

    def initialise(self, *, anew: bool = False) -> list[str]:
        """Create the file if need be and apply missing migrations; return the names of those applied.

        anew: also replace views and macros that somebody may have changed.
        """
        with self._writer() as connection:
            return migrate.migrate(connection, self.path, anew=anew)

    def sql(self, query: str, parameters: Sequence[object] | None = None) -> duckdb.DuckDBPyRelation:
        """Run one query read-only, with no access to other files, and return DuckDB's relation.

        The file stays open for it, and nobody can write, until :meth:`close`. Raises DatabaseError if the file cannot
        be read; DuckDB's own errors pass through.
        """
        self._kept = True
        with damage_said(self.path):
            connection = self._reading()
            self.allowed_statements(connection, query)
            return connection.sql(query, params=list(parameters) if parameters is not None else None)

    def frame(self, query: str, parameters: Parameters = ()) -> "pl.DataFrame":
        """Run one query read-only and return its rows as a Polars frame."""
        import polars as pl

        with self.reading() as connection:
            self.allowed_statements(connection, query)
            relation = connection.sql(query, params=_bound(parameters))
            frame: pl.DataFrame = pl.DataFrame() if relation is None else relation.pl()
            return frame

    def rows(self, query: str, parameters: Parameters = ()) -> list[tuple[Any, ...]]:
        """Run one query read-only and return its rows as tuples."""
        with self.reading() as connection:
            return connection.execute(query, _bound(parameters)).fetchall()

    def allowed_statements(self, connection: duckdb.DuckDBPyConnection, script: str) -> list[duckdb.Statement]:
        """The statements of a script, if all of them may be run; raises duckdb.PermissionException, or ParserException.

        Without file access nothing is written: the shards that may be read could also be overwritten. Extensions, and
        with them the network, are never loaded.
        """
        script.encode()  # raises what is said of a text that is none, as DuckDB does not
        statements: list[duckdb.Statement] = connection.extract_statements(script)
        for statement in (inner for each in statements for inner in _with_explained(connection, each)):
            if _loads_extensions(statement):
                raise duckdb.PermissionException("Permission Error: extensions are not loaded")
            if statement.type in _WRITING:
                if not self._access.files:
                    raise duckdb.PermissionException(
                        "Permission Error: file system operations are disabled: use `output`"
                    )
                self._spare_own_files(statement.query)
        return statements

    def _spare_own_files(self, sql: str) -> None:
        """Raise duckdb.PermissionException for a statement that writes and names this database, its log or a shard."""
        own = self.path.resolve()
        for text in re.findall(r"'((?:[^']|'')*)'", sql):
            named = Path(text.replace("''", "'")).absolute().resolve()
            if named in (own, own.with_name(f"{own.name}.wal")) or shards.root_of(own) in (named, *named.parents):
                raise duckdb.PermissionException(
                    f"Permission Error: {named} is of the database itself: name another file"
                )

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
        self._kept = False
        self._give_up()
        if not self.path.parent.is_dir():
            raise DatabaseError(f"no folder {self.path.parent} to hold the database {self.path.name}: create it")
        idle = None if self._idle is None else self._idle.take(lambda waiting: not waiting.read_only)
        connection = None if idle is None else idle.connection
        try:
            if connection is None:
                connection = self._connect(read_only=False)
                connection.execute("SET allowed_directories = $1", [[str(shards.root_of(self.path).absolute())]])
                connection.execute("SET enable_external_access = false")
            with damage_said(self.path):
                yield connection
        except BaseException:
            if connection is not None:
                lingering.close(connection)
            raise
        if self._idle is not None:
            self._idle.give(Idle(connection, read_only=False))
        else:
            lingering.close(connection)

    def _reading(self) -> duckdb.DuckDBPyConnection:
        if self._reader is None and self._idle is not None:
            idle = self._idle.take(self._serves_reading)
            if idle is not None:
                self._reader, self._only_reads = idle.connection, idle.read_only
                self._show_shards(idle.connection)
        if self._reader is None:
            if not self.path.exists():
                raise DatabaseError(
                    f"no database at {self.path}: run `snql demo` or `snql locate` first, or name one with `db`"
                )
            connection = self._connect(read_only=True)
            try:
                with _LOCKING_DOWN:
                    self._lock_down(connection)
                if migrate.check(connection, self.path):
                    raise DatabaseError(f"{self.path} has an older schema: run `snql --db {self.path} db migrate`")
                if not migrate.objects_current(connection):
                    raise DatabaseError(
                        f"{self.path} has the views of another snql: run `snql --db {self.path} db migrate`"
                    )
                self._show_shards(connection)
            except BaseException:
                lingering.close(connection)
                raise
            self._reader, self._only_reads = connection, True
        return self._reader

    def _show_shards(self, connection: duckdb.DuckDBPyConnection) -> None:
        selection, files = shards.selection(connection, self.path)
        if files:
            connection.execute("SET VARIABLE snql_shards = $1", [selection])

    def _lock_down(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Set limits; let the connection read the shards beside the file, and no other file unless all may be.

        Nothing of the file is read before: its views and macros could be of any name, and read any file.
        """
        if is_locked(connection):  # by another connection of this process to the same file
            return
        self._set_limits(connection)
        connection.execute("SET parquet_metadata_cache = true")  # shards never change; each query would read their ends
        if not self._access.files:
            self._seal(connection)
        connection.execute("SET lock_configuration = true")

    def _seal(self, connection: duckdb.DuckDBPyConnection) -> None:
        if found := shards.found(self.path):
            connection.execute("SET allowed_paths = $1", [found])
        connection.execute("SET enable_external_access = false")

    def _set_limits(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Memory and threads; raises InputError for values that DuckDB does not take."""
        for name, option, value in (
            ("memory_limit", "`memory`", self._access.memory),
            ("threads", "`threads`", self._access.threads),
        ):
            if value is None:
                continue
            remedy = (
                "write a size such as 4GB" if name == "memory_limit" else f"write a number from 1 to {_MOST_THREADS:,}"
            )
            try:
                if not (1 <= value <= _MOST_THREADS if isinstance(value, int) else _SIZE.fullmatch(value)):
                    raise duckdb.InvalidInputException("out of range")
                connection.execute(f"SET {name} = $1", [value])
            except duckdb.Error as error:
                raise InputError(f"{option} {value} is not possible: {remedy}") from error

    def _connect(self, *, read_only: bool) -> duckdb.DuckDBPyConnection:
        lingering.drop(self.path)  # first: whoever looks at a file and closes it takes this process's locks from it
        if not self._checked:
            check_kind(self.path)
        deadline = time.monotonic() + self._lock_timeout
        config = NO_NETWORK if read_only else NO_NETWORK | {"storage_compatibility_version": STORAGE_VERSION}
        while True:
            try:
                with lingering.TURN:
                    return duckdb.connect(str(self.path.absolute()), read_only=read_only, config=config)
            except duckdb.Error as error:  # of damage, some are of no class below this one
                if not _is_lock(error) or time.monotonic() > deadline:
                    raise DatabaseError(_explain(error, self.path)) from error
            time.sleep(_POLL_SECONDS[read_only])


def _bound(parameters: Parameters) -> list[object] | dict[str, object]:
    return dict(parameters) if isinstance(parameters, Mapping) else list(parameters)


def is_locked(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether settings are locked; asked by setting one, since a file may have a macro of any function's name."""
    try:
        connection.execute("SET lock_configuration = false")
    except duckdb.InvalidInputException:
        return True
    return False


def _with_explained(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> list[duckdb.Statement]:
    """The statement, or those that an EXPLAIN of it may run."""
    try:
        explain = _EXPLAIN.match(statement.query) if statement.type == _Type.EXPLAIN else None
    except ValueError:  # a type that the enumeration lacks
        return [statement]
    if explain is None:
        return [statement]
    inner = connection.extract_statements(statement.query[explain.end() :])
    return [found for each in inner for found in _with_explained(connection, each)]


def _loads_extensions(statement: duckdb.Statement) -> bool:
    try:
        return bool(statement.type == _Type.LOAD)
    except ValueError:  # UPDATE EXTENSIONS has a type that the enumeration lacks
        return True


def _is_lock(error: duckdb.Error) -> bool:
    return "Could not set lock" in str(error)


def _explain(error: duckdb.Error, path: Path) -> str:
    text = " ".join(str(error).split())
    if (line := damage(error, path)) is not None:
        return line
    if _is_lock(error):
        return f"{path} is locked by another program that writes to it: wait for it, or close it"
    if "not a valid DuckDB" in text:
        return f"{path} is not a DuckDB database: name another file with `db`"
    if "different configuration" in text:
        return f"{path} is open elsewhere in this Python process: close that connection first"
    if "ermission denied" in text or "read-only" in text.lower():
        return f"{path} cannot be opened for writing (permission denied): change its permissions or use `db`"
    if path.is_dir():
        return f"{path} is a folder, not a database file: name a file with `db`"
    return f"{path} cannot be opened: {text}"
