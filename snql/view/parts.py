"""The figures and tables of one run, each made when it is asked for."""

from functools import partial
from typing import Any

import polars as pl
from starlette.exceptions import HTTPException
from starlette.requests import Request

from snql.reporting import figures, render, tables
from snql.reporting.context import Context
from snql.reporting.interactive import interactive
from snql.reporting.look import THEMES, on_screen
from snql.reporting.page import ground_of, table_rows
from snql.reporting.sizing import draw_once
from snql.reporting.sources import sources
from snql.stoppable import stoppable
from snql.view.home import Row
from snql.view.run_page import run_of
from snql.view.site import Page, Site
from snql.view.watched import Cancel
from snql.writing.inert import visible


def figure(site: Site, request: Request, cancel: Cancel) -> Page:
    """One figure of a run, as a page; its chart is drawn in the browser."""
    found = next((each for each in figures.FIGURES if each.name == request.path_params["name"]), None)
    if found is None:
        raise HTTPException(404, "There is no such figure.")
    row, frame, context = _read(site, request, found.query, cancel)
    lacks = found.lacks(frame)
    if lacks is not None:
        return _part(row, found.name, found.title, {"missing": lacks})
    theme = THEMES["dark" if "dark" in request.query_params else "paper"]
    drawing, specification = draw_once(partial(found.draw, frame, context), on_screen(theme))
    words = {"description": f"{visible(drawing.title)}. {visible(drawing.caption)}"}
    values = {
        "spec": render.script_json(interactive({**specification, **words})),
        "ground": ground_of(specification),
        "caption": drawing.caption,
    }
    return _part(row, found.name, drawing.title, values)


def table(site: Site, request: Request, cancel: Cancel) -> Page:
    """One table of a run, as a page."""
    found = next((each for each in tables.TABLES if each.name == request.path_params["name"]), None)
    if found is None:
        raise HTTPException(404, "There is no such table.")
    row, frame, context = _read(site, request, found.query, cancel)
    if frame.is_empty():
        return _part(row, found.name, found.title, {"missing": "the run has nothing to show in it"})
    caption = visible(found.caption(frame, context))
    return _part(row, found.name, found.title, {"rows": table_rows(found.cells(frame)), "caption": caption})


def _read(site: Site, request: Request, query: str, cancel: Cancel) -> tuple[Row, pl.DataFrame, Context]:
    """The run, the rows of a query about it, and what captions say of it. Raises RunError where it takes too long."""
    with site.reading(long=True) as db, db.reading() as connection:
        row = run_of(db, request)
        source = sources(db, only=(row["name"],))

        def work() -> tuple[Row, pl.DataFrame, Context]:
            return row, source.frame(query), Context(source.runs())

        return stoppable(connection, work, site.options.timeout, "reading the run for this part", cancel)


def _part(row: Row, name: str, heading: str, values: dict[str, Any]) -> Page:
    empty = {"missing": None, "spec": None, "ground": "", "caption": "", "rows": ""}
    given = {"run_id": row["run_id"], "run": row["name"], "name": name, "heading": heading}
    return Page("view_part.html.j2", heading, "/", empty | given | values)
