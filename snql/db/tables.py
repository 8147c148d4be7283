"""Rows of tables: inserting them from frames and records, deleting them by what they hold."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl

from snql.db import catalog, scripts
from snql.db.catalog import quoted
from snql.stats.interval import Interval

if TYPE_CHECKING:
    import pyarrow as pa


def insert(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: "pl.DataFrame | pa.Table | Sequence[Any]",
    /,
    **constants: object,
) -> None:
    """Insert rows in their order, each value into the column of its name.

    rows: a frame, or dataclasses or dictionaries that all have the same names; they take the types of the table's
    columns. constants: columns that have one value in all rows.
    """
    _insert(connection, f"INSERT INTO {quoted(table)}", table, rows, constants)


def insert_new(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Any]) -> None:
    """Insert those of the rows whose key is not in the table."""
    _insert(connection, f"INSERT OR IGNORE INTO {quoted(table)}", table, rows, {})


def _insert(
    connection: duckdb.DuckDBPyConnection,
    verb: str,
    table: str,
    rows: "pl.DataFrame | pa.Table | Sequence[Any]",
    constants: dict[str, object],
) -> None:
    if not len(rows):
        return
    columns = ", ".join([*(f"${name} AS {quoted(name)}" for name in constants), "*"])
    connection.register("new_rows", _framed(connection, table, rows) if isinstance(rows, Sequence) else rows)
    connection.execute(f"{verb} BY NAME SELECT {columns} FROM new_rows", constants or None)  # noqa: S608
    connection.unregister("new_rows")  # not after an error, which ends the transaction


def _framed(connection: duckdb.DuckDBPyConnection, table: str, rows: Sequence[Any]) -> pl.DataFrame:
    records = [row if isinstance(row, Mapping) else vars(row) for row in rows]
    types = connection.sql(f"FROM {quoted(table)} LIMIT 0").pl().schema
    return pl.DataFrame(
        [pl.Series(name, [record[name] for record in records], dtype=types.get(name)) for name in records[0]]
    )


def delete(connection: duckdb.DuckDBPyConnection, table: str, /, **values: object) -> None:
    """Delete the rows that have these values."""
    where = " AND ".join(f"{quoted(name)} = ${name}" for name in values)
    connection.execute(f"DELETE FROM {quoted(table)} WHERE {where}", values)  # noqa: S608


def replace(
    connection: duckdb.DuckDBPyConnection,
    table: str,
    rows: "pl.DataFrame | pa.Table | Sequence[Any]",
    /,
    **constants: object,
) -> None:
    """Insert rows in place of all that have these constants."""
    delete(connection, table, **constants)
    insert(connection, table, rows, **constants)


def next_values(connection: duckdb.DuckDBPyConnection, sequence: str, n: int) -> list[int]:
    """The next numbers of a sequence."""
    return sorted(
        value for (value,) in connection.execute("SELECT nextval($1) FROM range($2)", [sequence, n]).fetchall()
    )


def now() -> datetime:
    """The time as tables hold it: UTC without a zone."""
    return datetime.now(UTC).replace(tzinfo=None)


def run_tables(connection: duckdb.DuckDBPyConnection) -> Iterator[str]:
    """Those of snql's tables whose rows belong to one run and go with it: they have a column ``run_id``."""
    own = {script.name for script in scripts.tables()}
    for table, columns in catalog.columns(connection).items():
        if table in own - {"runs"} and "run_id" in {column.name for column in columns}:
            yield table


def flat(name: str, interval: Interval | None) -> dict[str, float | None]:
    """The ends of an interval as columns ``name_ci_low`` and ``name_ci_high``; of a table's main value without name."""
    low, high = (None, None) if interval is None else (interval.low, interval.high)
    return {f"{name}ci_low": low, f"{name}ci_high": high}
