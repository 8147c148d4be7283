"""Results on standard output: tables for people, JSON for programs. Text from models and files stays inert."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from snql.writing import terminal
from snql.writing.inert import visible

from .flags import is_quiet, said

if TYPE_CHECKING:
    import polars as pl

    from snql.prompts.select import SetCounts

MAX_ROWS = 100
MIN_TEXT = 12


def plain(value: object) -> Text:
    """A value as terminal text: control characters are shown, markup means nothing."""
    return Text(terminal.cell(value), style="dim" if value is None else "")


def print_table(
    frame: "pl.DataFrame", columns: Mapping[str, str] | Sequence[str] = (), title: str = "", *, quiet: bool = False
) -> None:
    """Print rows as a table: numbers to the right, at most MAX_ROWS of them, and a line that says what was cut.

    columns: which columns to show, or a mapping from them to headings.
    """
    headings = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns or frame.columns}
    shown = frame.select(list(headings))
    numeric = [kind.is_numeric() for kind in shown.dtypes]
    hidden = print_cells(list(headings.values()), numeric, shown.head(MAX_ROWS).rows(), title)
    note_hidden(hidden)
    if len(frame) > MAX_ROWS and not quiet:
        sys.stderr.write(f"showing {MAX_ROWS} of {len(frame)} rows; --format csv, json or parquet gives all\n")


def note_hidden(hidden: Sequence[str]) -> None:
    """Say which columns of a table did not fit, unless the user wants quiet."""
    if hidden and not is_quiet():
        sys.stderr.write(f"not shown, for want of room: {plain(', '.join(hidden))}\n")


def print_cells(
    headings: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[object]], title: str = ""
) -> list[str]:
    """Print a table as wide as the terminal; returns the headings of columns that did not fit, which are left out.

    A column of numbers is as wide as its widest; one of text may be folded to MIN_TEXT characters.
    """
    console = Console(width=None if sys.stdout.isatty() else 200)
    cells = [[plain(value) for value in row] for row in rows]
    n_fitting = _fitting([str(plain(heading)) for heading in headings], numeric, cells, console.width)
    table = Table(title=plain(title) if title else None, title_justify="left")
    for heading, is_number in list(zip(headings, numeric, strict=True))[:n_fitting]:
        table.add_column(plain(heading), justify="right" if is_number else "left", overflow="fold", no_wrap=is_number)
    for row in cells:
        table.add_row(*row[:n_fitting])
    console.print(table)
    return list(headings[n_fitting:])


def _fitting(headings: Sequence[str], numeric: Sequence[bool], rows: Sequence[Sequence[Text]], width: int) -> int:
    """How many columns, from the left, can be shown side by side; at least one."""
    left = width - 1
    for place, heading in enumerate(headings):
        widest = max((row[place].cell_len for row in rows), default=0)
        least = max(len(heading), widest) if numeric[place] else min(MIN_TEXT, max(len(heading), widest))
        left -= least + 3
        if left < 0:
            return max(1, place)
    return len(headings)


def print_lines(title: str, lines: Iterable[str]) -> None:
    """Print a heading and sentences under it."""
    sys.stdout.write(f"\n{plain(title)}\n" + "".join(f"  {plain(line)}\n" for line in lines))


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
    frame: "pl.DataFrame", *, as_json: bool, columns: Mapping[str, str] | Sequence[str] = (), title: str = ""
) -> None:
    """Print rows as JSON (all columns) or as a table (the chosen ones)."""
    if as_json:
        print_json(frame)
    else:
        print_table(frame, columns, title)


def note(message: str, *, quiet: bool) -> None:
    """A line for people, on standard error."""
    if not quiet:
        sys.stderr.write(f"{plain(said(message))}\n")


def note_prompts(counts: Sequence["SetCounts"], *, quiet: bool) -> None:
    """Say which prompt sets lost prompts to duplicates or because another run used them."""
    from snql.prompts.select import summaries

    for line in summaries(counts):
        note(line, quiet=quiet)
