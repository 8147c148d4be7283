"""What a report is made of."""

from dataclasses import dataclass, field
from pathlib import Path

import altair as alt
import polars as pl
from markupsafe import Markup

from snql.writing.html import table

Chart = alt.Chart | alt.LayerChart | alt.FacetChart | alt.ConcatChart | alt.HConcatChart | alt.VConcatChart


@dataclass(frozen=True)
class Drawing:
    """A chart with its words. ``caption`` is plain text and says what the chart leaves out."""

    chart: Chart
    title: str
    caption: str


@dataclass(frozen=True)
class RenderedFigure:
    """One figure of a report.

    ``files`` are those written, chart formats first, then the data as CSV and the query as SQL. ``skipped`` says
    why a figure has no files: what the database lacks for it. ``picture`` is the chart as SVG text, in points;
    ``chart`` is it as data for a page's script.
    """

    name: str
    title: str
    caption: str
    files: tuple[Path, ...]
    skipped: str | None = None
    picture: str = field(default="", repr=False)
    chart: Markup = field(default=Markup(), repr=False)


@dataclass(frozen=True)
class RenderedTable:
    """One table of a report; ``frame`` holds its cells before any escaping."""

    name: str
    title: str
    caption: str
    files: tuple[Path, ...]
    frame: pl.DataFrame


@dataclass(frozen=True)
class Report:
    """A finished report: the folder ``out``, its page ``index`` and what was written there.

    ``notes`` say what its figures cannot show here.
    """

    out: Path
    index: Path
    figures: tuple[RenderedFigure, ...]
    tables: tuple[RenderedTable, ...]
    notes: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        rows = [(part.name, part.title, part.skipped or f"{len(part.files)} files") for part in self.figures]
        rows += [(part.name, part.title, f"{len(part.files)} files") for part in self.tables]
        frame = pl.DataFrame(rows, schema=["part", "title", "files"], orient="row")
        return table(frame, title=f"report: {self.index}")
