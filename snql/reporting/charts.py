"""What all charts share: palette, sizes, and how frames become chart data.

The palette is Okabe and Ito's, which colour-blind readers can tell apart; every colour also has its own point
shape and dash, so that a greyscale print keeps the difference.
"""

from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl

from snql.reporting.model import Chart
from snql.reporting.text import visible_frame

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
INK = "#222222"
MUTED = "#6b6b6b"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2])
CONTROL_COLOUR = "#8a8a8a"
PAGE_WIDTH = 640
"""Width of a full-page figure in points of the chart; one panel of several gets its share of it."""


def data(frame: pl.DataFrame) -> alt.InlineData:
    """Rows of a frame as inline chart data, text made visible; what is not a finite number becomes null."""
    floats = pl.col(pl.Float64, pl.Float32)
    finite = visible_frame(frame, keep="\n").with_columns(pl.when(floats.is_finite()).then(floats))
    return alt.InlineData(values=finite.to_dicts())


def cycle(values: Sequence[Any], length: int) -> list[Any]:
    """The first ``length`` values, again from the start when there are fewer."""
    return [values[index % len(values)] for index in range(length)]


def panel_width(n_panels: int, columns: int) -> int:
    """Width of one of ``n_panels`` panels set in ``columns`` columns, axes left out."""
    return {1: 380, 2: 255}.get(min(n_panels, columns), 168)


def facet(panels: Sequence[str]) -> alt.Facet:
    """One panel for each heading, in this order; a line break in a heading starts a second line."""
    header = alt.Header(title=None, labelExpr="split(datum.value, '\\n')")
    return alt.Facet("panel:N", sort=list(panels), header=header)


def finish(chart: Chart, title: str, subtitle: Sequence[str] = ()) -> Chart:
    """The chart with its title and the house style."""
    heading = alt.Title(title, subtitle=list(subtitle)) if subtitle else alt.Title(title)
    styled: Chart = chart.properties(title=heading, padding=8, background="white")
    configured: Chart = styled.configure(**_CONFIG)
    return configured


_CONFIG: dict[str, Any] = {
    "font": FONT,
    "title": {
        "anchor": "start",
        "fontSize": 13,
        "fontWeight": "bold",
        "color": INK,
        "subtitleColor": MUTED,
        "subtitleFontSize": 11,
        "subtitlePadding": 4,
        "offset": 12,
        "limit": PAGE_WIDTH,
        "frame": "bounds",
    },
    "axis": {
        "labelFontSize": 10,
        "titleFontSize": 11,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "gridColor": "#e9e9e9",
        "domainColor": "#888888",
        "tickColor": "#888888",
        "titlePadding": 7,
        "labelLimit": 220,
    },
    "legend": {
        "labelFontSize": 10.5,
        "titleFontSize": 10.5,
        "titleFontWeight": "normal",
        "labelColor": INK,
        "titleColor": INK,
        "labelLimit": 300,
        "symbolStrokeWidth": 1.5,
        "symbolOpacity": 1,
        "titleLimit": 460,
    },
    "header": {
        "labelFontSize": 11,
        "labelColor": INK,
        "labelFontWeight": "bold",
        "labelLimit": 380,
        "labelPadding": 6,
    },
    "view": {"stroke": "#d0d0d0"},
}
