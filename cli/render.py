"""Results on standard output: tables for people, JSON for programs. Text from models and files stays inert."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import polars as pl
from rich.console import Console
from rich.table import Table
from rich.text import Text

from snql.querying import render

if TYPE_CHECKING:
    from snql.prompts.select import SetCounts

_CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {10: "\\n", 9: " "}
MAX_ROWS = 100


def plain(value: object) -> Text:
    """A value as terminal text: control characters are written out, markup means nothing."""
    if value is None:
        return Text("-", style="dim")
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return Text(text.translate(_CONTROL))


def print_table(
    frame: pl.DataFrame, columns: Mapping[str, str] | Sequence[str] = (), title: str = "", *, quiet: bool = False
) -> None:
    """Print rows as a table: numbers to the right, at most MAX_ROWS of them, and a line that says what was cut.

    columns: which columns to show, or a mapping from them to headings.
    """
    headings = dict(columns) if isinstance(columns, Mapping) else {name: name for name in columns or frame.columns}
    table = Table(title=plain(title) if title else None, title_justify="left")
    for name, heading in headings.items():
        numeric = frame.schema[name].is_numeric()
        table.add_column(plain(heading), justify="right" if numeric else "left", overflow="fold")
    for row in frame.select(list(headings)).head(MAX_ROWS).iter_rows():
        table.add_row(*(plain(value) for value in row))
    console = Console(width=None if sys.stdout.isatty() else 200)
    console.print(table)
    if len(frame) > MAX_ROWS and not quiet:
        sys.stderr.write(f"showing {MAX_ROWS} of {len(frame)} rows; --format csv, json or parquet gives all\n")


def print_lines(title: str, lines: Iterable[str]) -> None:
    """Print a heading and sentences under it."""
    sys.stdout.write(f"\n{plain(title)}\n" + "".join(f"  {plain(line)}\n" for line in lines))


def print_json(value: pl.DataFrame) -> None:
    """Print rows as JSON."""
    sys.stdout.write(render(value, "json").decode())


def print_json_parts(parts: Mapping[str, pl.DataFrame]) -> None:
    """Print several frames as one JSON object, a list of rows each."""
    texts = (f"{json.dumps(name)}: {render(frame, 'json').decode().strip()}" for name, frame in parts.items())
    sys.stdout.write("{" + ",\n".join(texts) + "}\n")


def print_rows(
    frame: pl.DataFrame, *, as_json: bool, columns: Mapping[str, str] | Sequence[str] = (), title: str = ""
) -> None:
    """Print rows as JSON (all columns) or as a table (the chosen ones)."""
    if as_json:
        print_json(frame)
    else:
        print_table(frame, columns, title)


def note(message: str, *, quiet: bool) -> None:
    """A line for people, on standard error."""
    if not quiet:
        sys.stderr.write(str(plain(message)) + "\n")


def note_prompts(counts: Sequence["SetCounts"], *, quiet: bool) -> None:
    """Say which prompt sets lost prompts to duplicates or because another run used them."""
    from snql.prompts.select import summaries

    for line in summaries(counts):
        note(line, quiet=quiet)
