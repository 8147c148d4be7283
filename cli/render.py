"""Results on standard output: tables for people, JSON for programs. Text from models and files stays inert."""

import json
import os
import sys
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from contextvars import ContextVar
from shutil import get_terminal_size
from typing import TYPE_CHECKING, Literal

from rich.console import Console
from rich.table import Table
from rich.text import Text

from snql.errors import InputError
from snql.writing import terminal
from snql.writing.inert import visible

from .flags import is_quiet, said
from .table import Column, columns_of, fitting

if TYPE_CHECKING:
    import polars as pl

    from snql.prompts.select import SetCounts

MAX_ROWS = 100
_WIDTH = 200
"""Of what is no terminal."""


_FORMAT: ContextVar[str] = ContextVar("format", default="table")
_TABLE = "table"


def set_format(name: str) -> None:
    """What tables are printed as from now on. Raises InputError for a format that a terminal cannot take."""
    if name != _TABLE:
        from snql.writing.formats import BINARY, FORMATS

        if name not in FORMATS or name in BINARY:
            known = ", ".join(known for known in FORMATS if known not in BINARY)
            raise InputError(f"--format {name!r} is not known: use {known}")
    _FORMAT.set(name)


def table_format() -> str:
    """What tables are printed as."""
    return _FORMAT.get()


def is_table() -> bool:
    """Whether results are for people."""
    return _FORMAT.get() == _TABLE


def plain(value: object) -> Text:
    """A value as terminal text: control characters are shown, markup means nothing."""
    return Text(terminal.cell(value), style="dim" if value is None else "")


def print_table(
    frame: "pl.DataFrame",
    columns: Mapping[str, str] | Sequence[str] = (),
    title: str = "",
    *,
    results: Sequence[str] = (),
    empty: str = "nothing yet",
    quiet: bool = False,
) -> None:
    """Print rows as a table: numbers to the right, at most MAX_ROWS of them, and a line that says what was cut.

    columns: which columns to show, or a mapping from them to headings; two columns ``…low`` and ``…high`` after a value
    are its interval. results: what the table is about, which is shown at any width. empty: what is said of no rows.
    """
    if _FORMAT.get() != _TABLE:
        from snql.writing.formats import render

        sys.stdout.write(render(frame, _FORMAT.get()).decode())
        return
    headings = (
        dict(columns)
        if isinstance(columns, Mapping)
        else {name: name.replace("_", " ") for name in columns or frame.columns}
    )
    if frame.is_empty():
        print_lines(title, [empty]) if title else sys.stdout.write(f"{plain(empty)}\n")
        return
    hidden = print_columns(columns_of(frame.head(MAX_ROWS), headings, results), title)
    note_hidden(hidden)
    if len(frame) > MAX_ROWS and not quiet and not is_quiet():
        sys.stderr.write(f"showing {MAX_ROWS} of {len(frame)} rows; --json or --csv has all\n")


def note_hidden(hidden: Sequence[str]) -> None:
    """Say which columns of a table did not fit, unless the user wants quiet."""
    if hidden and not is_quiet():
        sys.stderr.write(f"left out at this width: {plain('; '.join(hidden))}; --json or --csv has all\n")


def print_cells(
    headings: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[object]], title: str = ""
) -> list[str]:
    """Print a table as wide as the terminal; returns the headings of columns that did not fit, which are left out.

    A column of numbers is as wide as its widest; one of text may be folded.
    """
    cells = [tuple(terminal.cell(row[place]) for row in rows) for place in range(len(headings))]
    columns = [
        Column(terminal.cell(heading), own, is_number)
        for heading, own, is_number in zip(headings, cells, numeric, strict=True)
    ]
    return print_columns(columns, title)


def print_columns(columns: Sequence[Column], title: str, console: Console | None = None) -> list[str]:
    """Print columns side by side, or, where even those that are needed do not fit, each row as lines.

    Returns the headings of those that were left out. console: standard output by default.
    """
    console = console or Console(width=terminal_width())
    if title:
        console.print(plain(title))
    found = fitting(columns, console.width)
    if found is None:
        _print_records(columns, console)
        return []
    table = Table()
    for column, width in zip(found.columns, found.widths, strict=True):
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        table.add_column(Text(column.heading), justify=justify, overflow="fold", width=width)
    for row in zip(*(column.cells for column in found.columns), strict=True):
        table.add_row(*(Text(cell, style="dim" if cell == "-" else "") for cell in row))
    console.print(table)
    return found.left_out


def _print_records(columns: Sequence[Column], console: Console) -> None:
    n_rows = len(columns[0].cells)
    for row in range(n_rows):
        for column in columns:
            console.print(Text(f"{column.heading}: {column.cells[row]}"))
        if row < n_rows - 1:
            console.print()


def terminal_width() -> int | None:
    """Of what is no terminal, what COLUMNS says or else enough for any table; None for that of the terminal."""
    if sys.stdout.isatty():
        return None
    given = os.environ.get("COLUMNS", "")
    return int(given) if given.isdecimal() and int(given) > 0 else _WIDTH


def print_sentence(line: str) -> None:
    """Print what was found, before its table; nothing where results are for a program."""
    if _FORMAT.get() == _TABLE:
        width = terminal_width() or get_terminal_size().columns
        lines = textwrap.wrap(str(plain(line)), width, subsequent_indent="  ", break_on_hyphens=False)
        sys.stdout.write("\n".join(lines) + "\n")


def print_lines(title: str, lines: Iterable[str], *, folded: bool = False) -> None:
    """Print a heading and sentences under it; nothing where results are for a program.

    folded: they are broken between words where the terminal ends.
    """
    if _FORMAT.get() != _TABLE:
        return
    shown = [f"  {plain(line)}" for line in lines]
    if folded:
        width = terminal_width() or get_terminal_size().columns
        shown = [
            part
            for line in shown
            for part in textwrap.wrap(line, width, subsequent_indent="    ", break_on_hyphens=False)
        ]
    sys.stdout.write(f"\n{plain(title)}\n" + "".join(f"{line}\n" for line in shown))


def print_json(value: "pl.DataFrame") -> None:
    """Print rows as JSON."""
    from snql.writing.formats import render

    sys.stdout.write(render(value, "json").decode())


def print_json_parts(parts: Mapping[str, "pl.DataFrame"]) -> None:
    """Print several frames as one JSON object, a list of rows each."""
    from snql.writing.formats import render

    texts = (f"{json.dumps(name)}: {render(frame, 'json').decode().strip()}" for name, frame in parts.items())
    sys.stdout.write("{" + ",\n".join(texts) + "}\n")


def print_object(value: Mapping[str, object]) -> None:
    """Print one JSON object, in ASCII."""
    sys.stdout.write(json.dumps(value, indent=2, default=str) + "\n")


def print_paragraphs(text: str) -> None:
    """Print text of a model: its lines are kept, its control characters shown."""
    sys.stdout.write(visible(text, keep="\n") + "\n")


def print_rows(
    frame: "pl.DataFrame",
    *,
    as_json: bool,
    columns: Mapping[str, str] | Sequence[str] = (),
    title: str = "",
    results: Sequence[str] = (),
    empty: str = "nothing yet",
) -> None:
    """Print rows as JSON (all columns) or as a table (the chosen ones)."""
    if as_json:
        print_json(frame)
    else:
        print_table(frame, columns, title, results=results, empty=empty)


def note(message: str, *, quiet: bool) -> None:
    """A line for people, on standard error."""
    if not quiet:
        sys.stderr.write(f"{plain(said(message))}\n")


def note_prompts(counts: Sequence["SetCounts"], *, quiet: bool) -> None:
    """Say which prompt sets lost prompts to duplicates or because another run used them."""
    from snql.prompts.select import summaries

    for line in summaries(counts):
        note(line, quiet=quiet)
