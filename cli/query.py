"""``snql query``: SQL."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from snql.errors import InputError

from . import options as opt
from .render import print_table
from .state import state


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(query)


def query(
    context: typer.Context,
    sql: Annotated[str | None, typer.Argument(help="SQL, or - to read it from standard input.")] = None,
    file: Annotated[Path | None, typer.Option("--file", "-f", help="Read the SQL from this file.")] = None,
    format_name: Annotated[
        str | None, typer.Option("--format", help="table, csv, tsv, json, jsonl, parquet or markdown.")
    ] = None,
    output: opt.Output = None,
    param: Annotated[
        list[str] | None, typer.Option("--param", "-p", help="NAME=VALUE, bound to $NAME; repeatable.")
    ] = None,
) -> None:
    """Put SQL to the database: read-only, with no access to other files."""
    from snql.querying import parse_parameters, render
    from snql.querying import query as run_query

    here = state(context)
    chosen = format_name or ("json" if here.json else "table")
    frame = run_query(here.open(), _read_sql(sql, file), parse_parameters(param or []))
    if chosen == "table":
        if output is not None:
            raise InputError("--output needs a --format other than table, such as csv or parquet")
        print_table(frame, quiet=here.quiet)
        return
    _write(render(frame, chosen), chosen, output)


def _write(data: bytes, format_name: str, output: Path | None) -> None:
    if output is not None:
        try:
            output.write_bytes(data)
        except OSError as error:
            raise InputError(f"--output {output} cannot be written: {error.strerror}") from error
    elif format_name == "parquet" and sys.stdout.isatty():
        raise InputError("--format parquet is binary: name a file with --output")
    else:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()


def _read_sql(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise InputError("one query is needed: as an argument, with -f FILE, or - for standard input")
    if file is None:
        return sys.stdin.read() if sql == "-" else str(sql)
    try:
        return file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--file {file} cannot be read: check the path") from error
