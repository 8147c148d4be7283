"""``snql report``: figures, tables and a page to open."""

import os
import shutil
import sys
import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from snql.db import Database
from snql.reporting.options import ReportOptions

from .progress import progress_shown
from .render import note, print_rows
from .state import state


def report(
    context: typer.Context,
    options: ReportOptions,
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("snql-report"),
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Draw the main figures as text right here; write nothing.")
    ] = False,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    list_figures: Annotated[bool, typer.Option("--list", help="List the figures and exit.")] = False,
) -> None:
    """Draw the figures and tables of the database's runs, and write a page that shows them."""
    import polars as pl

    here = state(context)
    if terminal and not list_figures:
        _print_text(here.open(), options)
        return
    from snql.reporting.build import build, catalogue  # takes longer to import than figures as text take to draw

    if list_figures:
        rows = pl.DataFrame(catalogue(), schema=["figure", "description"], orient="row")
        print_rows(rows, as_json=here.json)
        return
    with progress_shown(quiet=here.quiet) as progress:
        made = build(here.open(), out, options, progress)
    for figure in made.figures:
        if figure.skipped:
            note(f"{figure.name}: not drawn, {figure.skipped}", quiet=here.quiet)
    if open_page:
        webbrowser.open(made.index.absolute().as_uri())
    files = [(figure.name, str(path)) for figure in made.figures for path in figure.files]
    files += [(table.name, str(path)) for table in made.tables for path in table.files]
    files.append(("page", str(made.index)))
    print_rows(pl.DataFrame(files, schema=["part", "file"], orient="row"), as_json=here.json)


def _print_text(database: Database, options: ReportOptions) -> None:
    """Figures as text, as wide as the terminal; colours on a terminal only, and not with NO_COLOR."""
    from snql.reporting import terminal

    width = shutil.get_terminal_size((80, 24)).columns
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    others = [Database(path) for path in options.compare]
    text = terminal.draw(database, options.figures, width, colour=colour, compare=others, runs=options.runs)
    sys.stdout.write(text)
