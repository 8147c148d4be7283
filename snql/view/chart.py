"""A chart of an answer: two of its columns of numbers, and colours where a column of words has few."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl
from markupsafe import Markup

from snql.reporting import charts, render
from snql.reporting.interactive import interactive
from snql.reporting.look import THEMES, Look, on_screen
from snql.reporting.page import ground_of
from snql.writing.inert import visible

MOST_COLOURS = 7
MOST_POINTS = 100
"""On a line; beyond it there are too many to tell apart."""


@dataclass(frozen=True)
class Drawn:
    """A chart as a page needs it. numbers: columns to choose x and y from."""

    spec: Markup
    ground: str
    numbers: tuple[str, ...]
    x: str
    y: str


def chart(frame: pl.DataFrame, numeric: Sequence[bool], form: Mapping[str, str]) -> Drawn | None:
    """The chart of an answer; None where there are no two columns of numbers, or fewer than two rows.

    form: may name the columns ``x`` and ``y``, and say ``dark``.
    """
    pairs = zip(frame.columns, numeric, strict=True)
    numbers = tuple(name for name, is_number in pairs if is_number and frame[name].is_not_null().any())
    if len(numbers) < 2 or len(frame) < 2:
        return None
    x = form.get("x", "") if form.get("x") in numbers else numbers[0]
    y = form.get("y", "") if form.get("y") in numbers else next(name for name in numbers if name != x)
    look = on_screen(THEMES["dark" if form.get("dark") else "paper"])
    colour = next((name for name in frame.columns if name not in numbers and _is_few(frame[name])), None)
    made = charts.finish(_marks(frame, x, y, colour, look), look, f"{visible(y)} by {visible(x)}")
    specification = charts.specification(made)
    words = {"description": f"{visible(y)} against {visible(x)}, {len(frame)} rows"}
    return Drawn(render.script_json(interactive({**specification, **words})), ground_of(specification), numbers, x, y)


def _is_few(values: pl.Series) -> bool:
    return values.dtype == pl.String and 1 < values.n_unique() <= MOST_COLOURS


def _marks(frame: pl.DataFrame, x: str, y: str, colour: str | None, look: Look) -> alt.Chart:
    """A line where x goes up with the rows, else points."""
    columns = {"x": pl.col(x), "y": pl.col(y), **({} if colour is None else {"colour": pl.col(colour)})}
    rows = frame.select(**columns)
    ordered = colour is None and frame[x].is_not_null().all() and bool((frame[x].diff().drop_nulls() > 0).all())
    base = alt.Chart(charts.data(rows)).properties(width=look.plots, height=look.height(150))
    theme = look.theme
    made = (
        base.mark_line(color=theme.colours[0], strokeWidth=look.stroke(1.2), point=len(frame) <= MOST_POINTS)
        if ordered
        else base.mark_point(filled=True, size=look.area(14), color=theme.colours[0], opacity=0.75)
    )
    axes = [alt.X("x:Q", title=visible(x)), alt.Y("y:Q", title=visible(y))]
    axes = [axis.scale(zero=False) for axis in axes]
    scale = alt.Scale(range=list(theme.colours))
    colours = [] if colour is None else [alt.Color("colour:N", title=visible(colour), scale=scale)]
    found: alt.Chart = made.encode(*axes, *colours)
    return found
