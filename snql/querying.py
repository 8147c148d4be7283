"""``snql query``: anybody's SQL, read-only, and the formats that its rows are written in."""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from io import BytesIO
from typing import Any

import duckdb
import polars as pl

from snql.db.connection import Database
from snql.errors import InputError

FORMATS = ("table", "csv", "tsv", "json", "jsonl", "parquet", "markdown")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


Parameter = str | int | float


def query(db: Database, sql: str, parameters: Mapping[str, Parameter] | None = None) -> pl.DataFrame:
    """Run SQL against the database, read-only and with no access to files; return the last statement's rows.

    ``parameters`` are bound by name (``$name``). Raises InputError with DuckDB's reason if the SQL fails.
    """
    if not sql.strip():
        raise InputError("the query is empty: give SQL as an argument, with -f FILE, or - for standard input")
    try:
        return db.last_frame(sql, parameters or {})
    except duckdb.Error as error:
        raise InputError(f"the query fails: {_first_line(error)}") from error
    except pl.exceptions.PolarsError as error:
        raise InputError(f"the rows have a type that cannot be shown ({error}): cast it, such as x::VARCHAR") from error


def _first_line(error: duckdb.Error) -> str:
    """DuckDB's message without its excerpt of the query."""
    return " ".join(line.strip() for line in str(error).split("\n\n")[0].splitlines())


def parse_parameters(pairs: Sequence[str]) -> dict[str, Parameter]:
    """``NAME=VALUE`` pairs as a dictionary, numbers as numbers; raises InputError for one without ``=``."""
    for pair in pairs:
        if "=" not in pair:
            raise InputError(f"--param {pair!r} is malformed: write NAME=VALUE")
    return {name: _value(value) for name, _, value in (pair.partition("=") for pair in pairs)}


def _value(text: str) -> Parameter:
    if re.fullmatch(r"[+-]?\d+", text):
        return int(text)
    return float(text) if re.fullmatch(r"[+-]?\d*\.\d+(e[+-]?\d+)?", text, re.IGNORECASE) else text


def render(frame: pl.DataFrame, format_name: str) -> bytes:
    """The rows in one of FORMATS but ``table``; raises InputError for another.

    CSV and TSV cells that a spreadsheet would run as a formula get a leading apostrophe; lists become JSON text.
    """
    writers: dict[str, Callable[[pl.DataFrame], bytes]] = {
        "csv": lambda rows: _separated(rows, ","),
        "tsv": lambda rows: _separated(rows, "\t"),
        "json": lambda rows: (json.dumps(_records(rows), indent=2, ensure_ascii=False) + "\n").encode(),
        "jsonl": lambda rows: "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in _records(rows)).encode(),
        "parquet": _parquet,
        "markdown": _markdown,
    }
    if format_name not in writers:
        raise InputError(f"--format {format_name!r} is not known: use {', '.join(FORMATS)}")
    return writers[format_name](frame)


def _records(frame: pl.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries of JSON values; a float that is not finite becomes null, times become ISO 8601 text."""
    return [{name: _plain(value) for name, value in row.items()} for row in frame.iter_rows(named=True)]


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """Columns that a text cell can hold: lists and structures as JSON text."""
    frame = frame.with_columns(pl.col(pl.Binary).bin.encode("hex"))
    nested = [name for name, kind in frame.schema.items() if kind.is_nested()]
    texts = [
        pl.Series(
            name,
            [None if v is None else json.dumps(_plain(v), ensure_ascii=False) for v in frame[name].to_list()],
            pl.String,
        )
        for name in nested
    ]
    return frame.with_columns(texts)


def _separated(frame: pl.DataFrame, separator: str) -> bytes:
    inert = [
        pl.when(pl.any_horizontal(pl.col(name).str.starts_with(sign) for sign in _FORMULA))
        .then(pl.concat_str(pl.lit("'"), pl.col(name)))
        .otherwise(pl.col(name))
        .alias(name)
        for name, kind in _flat(frame).schema.items()
        if kind == pl.String
    ]
    return _flat(frame).with_columns(inert).write_csv(separator=separator).encode()


def _parquet(frame: pl.DataFrame) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _markdown(frame: pl.DataFrame) -> bytes:
    def cell(value: Any) -> str:
        text = "" if value is None else str(_plain(value))
        return text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").replace("\n", "<br>")

    lines = [[cell(name) for name in frame.columns], ["---"] * frame.width]
    lines += [[cell(value) for value in row] for row in _flat(frame).iter_rows()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines).encode()
