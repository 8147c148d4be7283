"""Build a report: read the views, draw, write into a temporary folder, then move everything into place."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import polars as pl

from snql.db import Database
from snql.errors import InputError
from snql.progress import Progress, ProgressCallback, say_note, silent
from snql.reporting import fonts, neuron_files, page, render, screen, snippets
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES
from snql.reporting.folder import INDEX, MADE_OF, publish, staging
from snql.reporting.kit.figure import Figure
from snql.reporting.look import POINTS_PER_MM, Look, look
from snql.reporting.model import RenderedFigure, RenderedTable, Report
from snql.reporting.options import EVERYTHING, Parts, ReportOptions
from snql.reporting.sizing import fitted
from snql.reporting.sources import Sources, sources
from snql.reporting.tables import TABLES, Table
from snql.writing import formats as writers
from snql.writing import latex, markdown
from snql.writing.inert import visible


def catalogue() -> tuple[tuple[str, str], ...]:
    """Name and one-line description of every figure, in the order of a report."""
    return tuple((figure.name, figure.description) for figure in FIGURES)


def build(
    db: Database,
    out: Path,
    options: ReportOptions = EVERYTHING,
    progress: ProgressCallback = silent,
    *,
    parts: Parts | None = None,
    made_of: str = "",
) -> Report:
    """Write figures, tables and ``index.html`` into the folder ``out``, creating it if need be.

    parts: exactly what is drawn; by default the figures of the options, all tables, and pages of neurons. made_of: what
    :func:`snql.reporting.folder.is_made_of` is to know the report by. With databases to compare, see
    :mod:`snql.reporting.sources`. Equal data give equal bytes. Files of an earlier report in ``out`` go, other files
    there stay. Until everything is rendered, nothing in ``out`` changes.

    Raises InputError for an unknown figure, table or run, an ``out`` that is no folder or has a file in the way that
    no report wrote, a database with no finished run or given twice; DatabaseError if a database cannot be read.
    """
    out = Path(out)
    wanted = _wanted(options.figures or None) if parts is None else _wanted(parts.figures)
    wanted_tables = _wanted_tables(None if parts is None else parts.tables)
    chosen = tuple(dict.fromkeys(options.formats))
    render.check_formats(chosen)
    style = look(options.theme, options.width)
    source = sources(db, [Database(path) for path in options.compare], options.runs)
    context = _context(source)
    with staging(out) as folder:
        with source.reading():
            frames = {figure.name: source.frame(figure.query) for figure in wanted}
            made_tables = tuple(made for table in wanted_tables if (made := _table(source, context, table, folder)))
            content = page.read(source, linked=parts is None)
            if content.neurons is not None and content.n_linked:
                neuron_files.write(source, content.neurons, folder)
        drawn = _figures(source, context, frames, chosen, style, folder, progress)
        (folder / INDEX).write_text(page.index(source, content, drawn, made_tables, context), "utf-8", newline="\n")
        snippets.document(folder, drawn, made_tables, style.width / POINTS_PER_MM)
        if made_of:
            (folder / MADE_OF).write_text(made_of, "utf-8", newline="\n")
        publish(folder, out)
    notes = letters_notes(drawn) if {"png", "pdf"} & set(chosen) else []
    for note in notes:
        say_note(progress, note)
    return _report(out, drawn, made_tables, notes)


def letters_notes(figures: Sequence[RenderedFigure]) -> list[str]:
    """Which texts have letters that no font here has, and in which figures; empty if there are none."""
    found: dict[str, list[str]] = {}
    for figure in figures:
        for text in fonts.unreadable(figure.picture):
            found.setdefault(text, []).append(figure.name)
    return [
        f"no font here has all letters of {visible(text)!r} ({', '.join(names)}): PNG and PDF show boxes in their "
        "place; install a font that has them"
        for text, names in found.items()
    ]


def _wanted(names: Sequence[str] | None) -> tuple[Figure, ...]:
    known = [figure.name for figure in FIGURES]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(f"unknown figure {unknown[0]!r}: choose from {', '.join(known)}")
    return tuple(figure for figure in FIGURES if names is None or figure.name in names)


def _wanted_tables(names: Sequence[str] | None) -> tuple[Table, ...]:
    known = [table.name for table in TABLES]
    unknown = [name for name in names or () if name not in known]
    if unknown:
        raise InputError(f"unknown table {unknown[0]!r}: choose from {', '.join(known)}")
    return tuple(table for table in TABLES if names is None or table.name in names)


def _context(db: Sources) -> Context:
    runs = db.runs()
    if runs.is_empty():
        raise InputError(
            f"{db.names} has no finished run to report on: run `snql demo`, or `snql locate` and then `snql patch`"
        )
    return Context(runs, several=len(db.databases) > 1)


def _figures(
    db: Sources,
    context: Context,
    frames: Mapping[str, pl.DataFrame],
    formats: Sequence[str],
    style: Look,
    folder: Path,
    progress: ProgressCallback,
) -> tuple[RenderedFigure, ...]:
    drawn, wanted = [], [figure for figure in FIGURES if figure.name in frames]
    for done, figure in enumerate(wanted):
        progress(Progress("report", done, len(wanted), "figures"))
        drawn.append(_figure(db, context, figure, frames[figure.name], formats, style, folder))
    progress(Progress("report", len(wanted), len(wanted), "figures"))
    return tuple(drawn)


def _figure(
    db: Sources,
    context: Context,
    figure: Figure,
    frame: pl.DataFrame,
    formats: Sequence[str],
    style: Look,
    folder: Path,
) -> RenderedFigure:
    """One figure with its files, and its chart for the page."""
    if (lacks := figure.lacks(frame)) is not None:
        return RenderedFigure(figure.name, figure.title, "", (), lacks)
    draw = partial(figure.draw, frame, context)
    drawing, specification, svg = fitted(draw, style)
    chart = screen.chart(draw)
    picture = render.picture(svg, style.width)
    files = [folder / f"{figure.name}.{extension}" for extension in formats]
    for path in files:
        extension = path.suffix[1:]
        if extension == "html":
            dark = style.theme if style.theme.name == "dark" else None
            path.write_bytes(render.page(screen.chart(draw, dark) if dark else chart, drawing.title, dark))
        elif extension == "json":
            path.write_bytes(render.specification_file(specification))
        else:
            path.write_bytes(render.file_of(picture, extension))
    caption = f"{drawing.caption} {db.words}".rstrip()
    data, query = folder / f"{figure.name}.csv", folder / f"{figure.name}.sql"
    data.write_bytes(writers.render(frame, "csv"))
    query.write_text(f"{db.sql_note}{db.restricted(figure.query)};\n", "utf-8", newline="\n")
    written = (*files, data, query, *snippets.figure(folder, figure.name, drawing.title, caption, formats))
    return RenderedFigure(figure.name, drawing.title, caption, written, picture=picture, chart=chart)


def _table(db: Sources, context: Context, table: Table, folder: Path) -> RenderedTable | None:
    rows = db.frame(table.query)
    if rows.is_empty():
        return None
    cells, blocks = table.cells(rows), table.blocks(rows)
    caption = visible(f"{table.caption(rows, context)} {db.words}".rstrip())
    files = tuple(folder / f"table-{table.name}.{extension}" for extension in ("csv", "md", "tex"))
    csv, md, tex = files
    csv.write_bytes(writers.render(cells, "csv"))
    md.write_text(markdown.document(table.title, caption, blocks), "utf-8", newline="\n")
    tex.write_text(latex.document(table.name, table.title, caption, blocks), "utf-8", newline="\n")
    return RenderedTable(table.name, table.title, caption, files, cells)


def _report(
    out: Path, figures: tuple[RenderedFigure, ...], tables: tuple[RenderedTable, ...], notes: Sequence[str]
) -> Report:
    """The report with its files where they are now."""

    def moved(files: tuple[Path, ...]) -> tuple[Path, ...]:
        return tuple(out / path.name for path in files)

    return Report(
        out=out,
        index=out / INDEX,
        figures=tuple(replace(figure, files=moved(figure.files)) for figure in figures),
        tables=tuple(replace(table, files=moved(table.files)) for table in tables),
        notes=tuple(notes),
    )


def write_tax(db: Database, runs: Sequence[str], out: Path, *, progress: ProgressCallback = silent) -> list[Path]:
    """Write the chart and the tables ``tax`` and ``controls`` of these runs alone; return their files."""
    made = build(db, out, ReportOptions(runs=tuple(runs)), progress, parts=Parts(("tax",), ("tax", "controls")))
    files = [*(figure.files for figure in made.figures), *(table.files for table in made.tables)]
    return [path for paths in files for path in paths]
