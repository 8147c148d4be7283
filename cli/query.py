"""``snql query``: SQL, and the library of named questions."""

import sys
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typing_extensions import Doc

from snql.db.connection import Access, Database
from snql.errors import InputError
from snql.options import Argument, Flag
from snql.small_files import small_text

from . import options as opt
from .encoding import standard_input
from .render import MAX_ROWS, note, print_cells, print_rows, table_format
from .state import State, state

if TYPE_CHECKING:
    from snql.querying.execute import Parameter, Result

_MOST_COUNTED = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked."""

    sql: Annotated[
        str | None,
        Doc("SQL (several statements, if need be), @NAME for a question of the library, - for standard input."),
        Argument(),
    ] = None
    file: Annotated[Path | None, Doc("Read the SQL from this file."), Flag("--file", "-f")] = None
    listed: Annotated[
        bool, Doc("List the library of questions with their parameters."), Flag("--list", key="list_questions")
    ] = False
    parameters: Annotated[tuple[str, ...], Doc("NAME=VALUE, bound to $NAME; repeatable."), Flag("--param", "-p")] = ()


def query(
    context: typer.Context,
    options: Asked,
    limits: Access,
    format_name: Annotated[
        str | None,
        typer.Option("--format", help="table, csv, tsv, json, jsonl, parquet, arrow, markdown or latex."),
    ] = None,
    output: opt.Output = None,
    rows: Annotated[int, typer.Option(min=0, help="Rows that a table shows; 0: all.")] = MAX_ROWS,
    timeout: Annotated[float | None, typer.Option(min=0, help="Stop the query after so many seconds.")] = None,
) -> None:
    """Put SQL to the database: read-only, with no access to other files or the network.

    Ctrl-C stops the query. The views and macros are described by `snql db schema`.
    """
    from snql.querying.execute import parse_parameters, run
    from snql.writing.formats import check_format

    here = state(context)
    chosen = check_format(format_name or table_format())
    if options.listed:
        _list(here)
        return
    if chosen == "table" and output is not None:
        raise InputError("--output needs a --format other than table, such as csv or parquet")
    db = Database(here.database, access=limits)
    text, parameters = _read(db, options.sql, options.file, parse_parameters(options.parameters))
    if chosen == "table":
        run(db, text, lambda result: _print(result, rows, quiet=here.quiet), parameters, timeout=timeout)
    else:
        run(db, text, lambda result: _write(result, chosen, output, here.database), parameters, timeout=timeout)


def _list(here: State) -> None:
    from snql.querying.questions import list_questions

    print_rows(list_questions(), as_json=here.json, title="Ask with: snql query @NAME -p PARAMETER=VALUE")


def _read(
    db: Database, sql: str | None, file: Path | None, given: "dict[str, Parameter]"
) -> "tuple[str, dict[str, Parameter]]":
    """The SQL and its parameters; a question's own values stand in for parameters that were not given."""
    from snql.querying.questions import ask

    if (sql is None) == (file is None):
        raise InputError(
            "one query is needed: as an argument, with -f FILE, @NAME (see --list), or - for standard input"
        )
    if file is None:
        if str(sql).startswith("@"):
            return ask(db, str(sql)[1:], given)
        return (standard_input("the query") if sql == "-" else str(sql)), given
    return small_text(file, "--file"), given


def _print(result: "Result", most: int, *, quiet: bool) -> None:
    """A table of the first rows, and lines that say what was cut."""
    found = result.rows()
    shown = list(islice(found.values, most or None))
    hidden = print_cells(found.columns, found.numeric, shown)
    left = sum(1 for _ in islice(found.values, _MOST_COUNTED)) if most else 0
    if left:
        total = f"more than {_MOST_COUNTED:,}" if left == _MOST_COUNTED else f"{len(shown) + left:,}"
        note(f"showing {len(shown):,} of {total} rows: --rows 0 or another --format gives all", quiet=quiet)
    if not shown:
        note("no rows", quiet=quiet)
    if hidden:
        some = ", ".join(hidden[:3]) + (", …" if len(hidden) > 3 else "")
        note(f"too wide for {len(hidden)} more columns ({some}): select fewer, or use another --format", quiet=quiet)


def _write(result: "Result", format_name: str, output: Path | None, database: Path) -> None:
    from snql.writing.formats import BINARY, write

    if output is None:
        if format_name in BINARY and sys.stdout.isatty():
            raise InputError(f"--format {format_name} is binary: name a file with --output")
        write(result, format_name, sys.stdout.buffer)
        sys.stdout.buffer.flush()
        return
    from snql.db.durable import written

    try:
        with written(output, database) as sink:
            write(result, format_name, sink)
    except OSError as error:
        if error.errno is None:  # of the query: Arrow tells DuckDB's errors so
            raise
        raise InputError(f"--output {output} cannot be written: {error.strerror}") from error
