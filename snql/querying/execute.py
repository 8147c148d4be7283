"""``snql query``: anybody's SQL, read-only, which a time limit or Ctrl-C ends."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import duckdb

from snql.db.connection import Database
from snql.db.damage import damage
from snql.errors import SURROGATE, InputError, reason
from snql.querying.near import near_names
from snql.stoppable import stoppable
from snql.writing.rows import Rows

if TYPE_CHECKING:
    from concurrent.futures import Future

    import polars as pl
    import pyarrow as pa

T = TypeVar("T")
Parameter = str | int | float

ROWS_AT_ONCE = 10_000
LONGEST_TIMEOUT = 10_000_000
_BATCH_ROWS = 100_000
_NUMBERS = re.compile(r"^(U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL\(.*\)|UINTEGER)$")


@dataclass(frozen=True)
class Result:
    """What the last statement of a script gives: run once, by one of the methods, while its connection is open."""

    connection: duckdb.DuckDBPyConnection
    sql: str
    parameters: dict[str, Parameter]

    def rows(self) -> Rows:
        """The rows as tuples, fetched as they are asked for."""
        cursor = self.connection.execute(self.sql, self.parameters or None)
        description = cursor.description or []
        _check_names([name for name, *_ in description])
        numeric = [bool(_NUMBERS.match(str(kind))) for _, kind, *_ in description]
        return Rows([name for name, *_ in description], numeric, self._fetched(cursor))

    def batches(self) -> "pa.RecordBatchReader":
        """The rows as Arrow batches, computed as they are read; without columns if the statement gives none."""
        relation = self.connection.sql(self.sql, params=self.parameters or None)
        if relation is None:
            import pyarrow as pa

            return pa.RecordBatchReader.from_batches(pa.schema([]), [])
        _check_types(relation)
        return relation.to_arrow_reader(_BATCH_ROWS)

    def frame(self) -> "pl.DataFrame":
        """All rows as a Polars frame."""
        import polars as pl

        relation = self.connection.sql(self.sql, params=self.parameters or None)
        if relation is None:
            return pl.DataFrame()
        _check_types(relation)
        frame: pl.DataFrame = relation.pl()
        return frame

    @staticmethod
    def _fetched(cursor: duckdb.DuckDBPyConnection) -> Iterator[tuple[Any, ...]]:
        try:
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                yield from rows
        except (OverflowError, ValueError) as error:
            raise InputError(f"a value is out of Python's range ({error}): cast it, such as x::VARCHAR") from error


def _check_types(relation: duckdb.DuckDBPyRelation) -> None:
    """Raise InputError for a type that Polars has no room for, and for two columns of one name."""
    _check_names(relation.columns)
    for name, kind in zip(relation.columns, relation.types, strict=True):
        if "INTERVAL" in str(kind):
            raise InputError(f"column {name} is of type {kind}, which has no form there: cast it, such as x::VARCHAR")


def _check_names(names: Sequence[str]) -> None:
    """Two columns of one name would be one in most formats, without a word."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise InputError(f"two columns are named {name!r}: give one another name, such as b.{name} AS other_{name}")
        seen.add(name)


def query(
    db: Database, sql: str, parameters: Mapping[str, Parameter] | None = None, *, timeout: float | None = None
) -> "pl.DataFrame":
    """Run SQL against the database, read-only and with no access to files; return the last statement's rows.

    ``parameters`` are bound by name (``$name``). Raises InputError with DuckDB's reason if the SQL fails, RunError if
    it takes longer than ``timeout`` seconds.
    """
    return run(db, sql, Result.frame, parameters, timeout=timeout)


def run(
    db: Database,
    sql: str,
    read: Callable[[Result], T],
    parameters: Mapping[str, Parameter] | None = None,
    *,
    timeout: float | None = None,
    cancel: "Future[None] | None" = None,
) -> T:
    """Run the statements of a script and give the last one's result to ``read``, in a thread that can be stopped.

    cancel: done as soon as nobody waits for the result. Raises as :func:`query` does, and RunError then; on Ctrl-C the
    query is stopped and KeyboardInterrupt goes on.
    """
    given = dict(parameters or {})
    if timeout is not None and not 0 < timeout <= LONGEST_TIMEOUT:
        raise InputError(
            f"`timeout` {timeout:g} is out of range: use seconds, more than 0 and at most {LONGEST_TIMEOUT:,}"
        )
    if not sql.strip():
        raise InputError("the query is empty: write SQL, such as SELECT * FROM locate_runs")
    if SURROGATE.search(sql):
        raise InputError("the query is not UTF-8: save it in that encoding")
    with db.reading() as connection:

        def work() -> T:
            statements = db.allowed_statements(connection, sql)
            _check_used(statements, given)
            return _read_last(connection, statements, given, read)

        try:
            return stoppable(connection, work, timeout, cancel=cancel)
        except duckdb.Error as error:
            if damage(error, db.path) is not None:
                raise
            raise InputError(f"the query fails: {_reason(error, connection, sql)}") from error
        except OSError as error:
            if error.errno is not None:
                raise
            raise InputError(f"the query fails: {reason(error)}") from error  # an error of DuckDB's, as Arrow tells it


def _read_last(
    connection: duckdb.DuckDBPyConnection,
    statements: Sequence[duckdb.Statement],
    given: Mapping[str, Parameter],
    read: Callable[[Result], T],
) -> T:
    results = [
        Result(connection, one.query, {name: given[name] for name in one.named_parameters if name in given})
        for one in statements
    ]
    for result in results[:-1]:
        for _ in result.rows().values:
            pass
    return read(results[-1])


def _check_used(statements: Sequence[duckdb.Statement], given: Mapping[str, Parameter]) -> None:
    if not statements:
        raise InputError("the query has no statement: it is all comments")
    used = {name for one in statements for name in one.named_parameters}
    for name in sorted(given.keys() - used):
        known = ", ".join(f"${name}" for name in sorted(used)) or "none"
        raise InputError(f"`parameters` {name}: no statement uses ${name}; the parameters are {known}")
    for name in sorted(used - given.keys()):
        raise InputError(f"the query needs a value for ${name}: give it with `parameters` {name}=VALUE")


def _reason(error: duckdb.Error, connection: duckdb.DuckDBPyConnection, sql: str) -> str:
    """DuckDB's message without its excerpt of the query, on one line, with names that are near an unknown one."""
    message = str(error).split("\n\n")[0]
    near = near_names(message, connection, sql)
    lines = [line.strip() for line in message.splitlines()]
    if near:
        lines = [lines[0].rstrip("!."), f"; near: {', '.join(near)}"]
        return "".join(lines)
    return " ".join(lines)


def parse_parameters(pairs: Sequence[str]) -> dict[str, Parameter]:
    """``NAME=VALUE`` pairs as a dictionary, numbers as numbers; raises InputError for one without ``=``."""
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"`parameters` {pair!r} is malformed: write NAME=VALUE")
    return {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _value(text: str) -> Parameter:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", text, re.IGNORECASE) else text
