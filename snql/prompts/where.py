"""``--where``: an SQL condition over a prompt file's columns."""

import json
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import duckdb
import polars as pl

from snql.errors import InputError
from snql.prompts.files import Row
from snql.stoppable import LIMIT_SECONDS, stoppable

_PLAIN = (bool, int, float, str, date, datetime)


def where(rows: Sequence[Row], condition: str, source: str, *, untyped: bool = False) -> list[Row]:
    """The rows for which the condition is true, in order; an empty file has none.

    DuckDB evaluates it, in memory and with no access to files. A column with lists, objects or values of several
    types is JSON text to it. ``untyped``: the file has only text, so a column of nothing but numbers becomes numeric,
    and its empty cells NULL. Raises InputError with DuckDB's reason if the condition fails.
    """
    if not rows:
        return []
    config: dict[str, str | bool | int | float | list[str]] = {
        "enable_external_access": False,
        "lock_configuration": True,
    }
    try:
        with duckdb.connect(":memory:", config=config) as connection:
            frame = _frame(rows, untyped=untyped)
            found = stoppable(
                connection, lambda: _numbers(connection, frame, condition), LIMIT_SECONDS, f"`where` {condition!r}"
            )
            return [rows[number] for number in found]
    except duckdb.Error as error:
        reason = " ".join(str(error).split("\n\n")[0].split())
        raise InputError(f"`where` {condition!r} fails on prompt file {source}: {reason}") from error


def _numbers(connection: duckdb.DuckDBPyConnection, frame: pl.DataFrame, condition: str) -> list[int]:
    """Row numbers, from 0, for which the condition is true."""
    connection.register("rows_of_file", frame)
    connection.execute("CREATE TABLE prompts AS SELECT * FROM rows_of_file")
    sql = f"SELECT rowid FROM prompts WHERE (\n{condition}\n) ORDER BY rowid"  # noqa: S608
    if len(connection.extract_statements(sql)) != 1:
        raise duckdb.ParserException("it is more than one condition")
    return [number for (number,) in connection.execute(sql).fetchall()]


def _frame(rows: Sequence[Row], *, untyped: bool) -> pl.DataFrame:
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [_column(name, [row.get(name) for row in rows]) for name in names]
    return pl.DataFrame([_number(column) for column in columns] if untyped else columns)


def _number(column: pl.Series) -> pl.Series:
    """A text column as whole or decimal numbers, if it has any and nothing else."""
    values = pl.Series(column.name, [text or None for text in column.to_list()], dtype=pl.String)
    for kind in (pl.Int64, pl.Float64):
        numbers = values.cast(kind, strict=False)
        if numbers.null_count() == values.null_count() < len(values):
            return numbers
    return column


def _column(name: str, values: list[Any]) -> pl.Series:
    types = {type(value) for value in values if value is not None}
    if types == {int, float}:
        values, types = [None if value is None else float(value) for value in values], {float}
    if len(types) <= 1 and types <= set(_PLAIN):
        try:
            return pl.Series(name, values, dtype=None if types else pl.String)
        except (OverflowError, TypeError, pl.exceptions.PolarsError):
            pass
    return pl.Series(name, [_text(value) for value in values], dtype=pl.String)


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)
