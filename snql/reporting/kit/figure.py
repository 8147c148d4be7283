"""One kind of figure: what it reads, and how its rows become a chart with its words."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing

Sketch = tuple[Chart, Sequence[str]]
"""A chart without title and house style, and the sentences of its caption; empty ones are left out."""


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    ``order`` names the columns that sort the rows of ``view``, so that equal data give equal files. ``lacking``
    says what to run when the view is empty. ``sketch`` is pure: it is called again with other looks.
    """

    name: str
    view: str
    order: tuple[str, ...]
    title: str
    description: str
    lacking: str
    sketch: Callable[[pl.DataFrame, Context, Look], Sketch]

    @property
    def query(self) -> str:
        """The query whose rows the figure draws."""
        return f"SELECT * FROM {self.view} ORDER BY {', '.join(self.order)}"  # noqa: S608  (names of this package)

    def lacks(self, frame: pl.DataFrame) -> str | None:
        """Why rows of the view make no figure, if they do not: there are none, or none has a defined effect."""
        if frame.is_empty():
            return self.lacking
        if "effect" in frame.columns and frame["effect"].is_null().all():
            return (
                "none of its effects is defined: donor and recipient do not differ reliably on these prompts, as on "
                "fewer than six they never do"
            )
        return None

    def draw(self, frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
        """The rows of the view as a finished chart with its words."""
        chart, words = self.sketch(frame, context, look)
        return Drawing(charts.finish(chart, look, self.title), self.title, " ".join(filter(None, words)))
