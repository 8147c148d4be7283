"""Charts as a web page draws them: one drawing for a wide window, one for a phone, in the colours of the page."""

from collections.abc import Callable
from dataclasses import replace

from markupsafe import Markup

from snql.reporting import render
from snql.reporting.interactive import interactive
from snql.reporting.look import THEMES, Look, Theme, on_screen
from snql.reporting.model import Drawing
from snql.reporting.sizing import Specification, draw_once, nearly_fitted
from snql.writing.inert import visible

WIDE, NARROW = 780.0, 358.0
"""Widths in pixels: of a column of text on a large screen, and on a phone of 390 pixels."""
PAGE = replace(THEMES["paper"], line="#8b8b8b")
"""The colours of charts on a light page: each has one place in the theme, so that a dark page can exchange them."""


def chart(draw: Callable[[Look], Drawing], theme: Theme | None = None, wide: float = WIDE) -> Markup:
    """A chart as data for ``charts.js``: a specification for a phone and one ``wide`` pixels wide, equal rows once, and
    colours to exchange.

    theme: its colours; by default those of the page, light or dark.
    """
    drawing, specification, look = nearly_fitted(draw, on_screen(theme or PAGE, NARROW))
    # What axes take there they take in the wide one, too: measuring that would take as long again.
    beside = replace(look, width=wide, plots=look.plots + wide - NARROW)
    made = [(NARROW, drawing, specification), (wide, *draw_once(draw, beside))]
    datasets: dict[str, object] = {}
    for _, _, each in made:
        datasets |= each["datasets"]
    drawings = [{"width": width, "specification": _explored(drawing, each)} for width, drawing, each in made]
    dark = {} if theme else dict(zip(_colours(PAGE), _colours(THEMES["dark"]), strict=True))
    return render.script_json({"drawings": drawings, "datasets": datasets, "dark": dark})


def _explored(drawing: Drawing, specification: Specification) -> Specification:
    """The specification with its words and what a reader can do to it, without its rows."""
    heads = {name: rows[:1] for name, rows in specification["datasets"].items()}
    words = f"{visible(drawing.title)}. {visible(drawing.caption)}"
    made = interactive({**specification, "description": words, "datasets": heads})
    del made["datasets"]
    return made


def _colours(theme: Theme) -> tuple[str, ...]:
    own = (theme.paper, theme.ink, theme.muted, theme.grid, theme.line, theme.empty, theme.control, theme.fill)
    return (*own, *theme.colours, *theme.ramp, *theme.diverging, theme.on_fill)
