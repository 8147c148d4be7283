"""``snql query`` and ``snql db``: SQL, and the database file itself."""

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import polars as pl
import typer

from snql.errors import InputError

from . import options as opt
from .render import note, print_rows, print_table
from .state import state

database_app = typer.Typer(help="Create, migrate and check the database file.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add this group's commands."""
    app.command()(query)
    app.add_typer(database_app, name="db")


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


@database_app.command()
def init(context: typer.Context) -> None:
    """Create the database file, or bring it to this snql's schema."""
    _migrate(context)


@database_app.command()
def migrate(context: typer.Context) -> None:
    """Apply the migrations that the database lacks."""
    here = state(context)
    if not here.database.exists():
        raise InputError(f"no database at {here.database}: create it with `snql db init`")
    _migrate(context)


@database_app.command()
def check(context: typer.Context) -> None:
    """Check the schema, and that scores, token activations and shards are what their runs stored; 1 if not."""
    from snql.db.check import check as check_database

    here = state(context)
    found = check_database(here.open())
    if not found:
        note(f"{here.database} is sound: its schema is this snql's, its results are those stored", quiet=here.quiet)
        return
    rows = pl.DataFrame([asdict(problem) for problem in found])
    print_rows(rows, as_json=here.json, title=f"What is not sound in {here.database}")
    raise typer.Exit(1)


def _migrate(context: typer.Context) -> None:
    here = state(context)
    applied = here.open().initialise()
    done = f"applied {', '.join(applied)}" if applied else "the schema is current"
    note(f"{here.database}: {done}", quiet=here.quiet)
