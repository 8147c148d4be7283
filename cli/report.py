"""``snql report``: figures, tables and a page to open."""

import os
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from typing_extensions import Doc

from snql.db import Database
from snql.options import Argument, Flag, Joined

from .progress import progress_shown
from .render import note, print_rows
from .state import state


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is drawn, and how it looks."""

    figures: Annotated[tuple[str, ...], Doc("Figures to draw; all by default."), Argument()] = ()
    formats: Annotated[
        tuple[str, ...], Doc("Any of svg, pdf, png, html, json."), Flag("--format", key="formats"), Joined()
    ] = ("svg", "pdf", "png", "html")
    theme: Annotated[str, Doc("paper, talk (large) or dark.")] = "paper"
    width: Annotated[str, Doc("column (85 mm), page (170 mm) or a number of millimetres.")] = "page"
    runs: Annotated[
        tuple[str, ...], Doc("A run to report on; repeatable; all by default."), Flag("--run", key="runs")
    ] = ()
    compare: Annotated[tuple[Path, ...], Doc("Another database, to be shown side by side; repeatable.")] = ()


def report(
    context: typer.Context,
    options: ReportOptions,
    out: Annotated[Path, typer.Option("--out", help="Folder to write into.")] = Path("snql-report"),
    terminal: Annotated[
        bool, typer.Option("--terminal", help="Draw the main figures as text right here; write nothing.")
    ] = False,
    list_figures: Annotated[bool, typer.Option("--list", help="List the figures and exit.")] = False,
) -> None:
    """Draw the figures and tables of the database's runs, and write a page that shows them."""
    import polars as pl

    from snql.reporting.build import build, catalogue

    here = state(context)
    if list_figures:
        rows = pl.DataFrame(catalogue(), schema=["figure", "description"], orient="row")
        print_rows(rows, as_json=here.json)
        return
    others = [Database(path) for path in options.compare]
    if terminal:
        _print_text(here.open(), options.figures, others, options.runs)
        return
    with progress_shown(quiet=here.quiet) as progress:
        made = build(
            here.open(),
            out,
            options.figures or None,
            options.formats,
            progress,
            theme=options.theme,
            width=options.width,
            compare=others,
            runs=options.runs,
        )
    for figure in made.figures:
        if figure.skipped:
            note(f"{figure.name}: not drawn, {figure.skipped}", quiet=here.quiet)
    files = [(figure.name, str(path)) for figure in made.figures for path in figure.files]
    files += [(table.name, str(path)) for table in made.tables for path in table.files]
    files.append(("page", str(made.index)))
    print_rows(pl.DataFrame(files, schema=["part", "file"], orient="row"), as_json=here.json)


def _print_text(database: Database, figures: Sequence[str], others: Sequence[Database], runs: Sequence[str]) -> None:
    """Figures as text, as wide as the terminal; colours on a terminal only, and not with NO_COLOR."""
    from snql.reporting import terminal

    width = shutil.get_terminal_size((80, 24)).columns
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    sys.stdout.write(terminal.draw(database, figures, width, colour=colour, compare=others, runs=runs))
