"""What all charts share: how frames become chart data, and the house style."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import altair as alt
import polars as pl
from altair.utils import schemapi
from altair.utils.schemapi import debug_mode

from snql.reporting.fonts import FAMILY, wrap
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.inert import visible_frame

_COPY, _READER = "__deepcopy__", "_FromDict"
_SHARED = (alt.FacetedEncoding, alt.MarkDef)
"""Parts of charts that nothing here changes once they are made."""
_SHARING = threading.Lock()
"""One thread at a time: what is shared is said of Altair's classes."""


def data(frame: pl.DataFrame) -> alt.InlineData:
    """Rows of a frame as chart data, text made visible; what is not a finite number becomes null.

    The rows are one string until the chart is done (see :func:`specification`): Altair copies all that it could change
    whenever charts are joined.
    """
    floats = pl.col(pl.Float64, pl.Float32)
    finite = visible_frame(frame, keep="\n").with_columns(pl.when(floats.is_finite()).then(floats))
    return alt.InlineData(values=json.dumps(finite.to_dicts()))


def specification(chart: Chart) -> dict[str, Any]:
    """The chart's Vega-Lite specification, equal data in it once."""
    with debug_mode(False):
        made: dict[str, Any] = chart.to_dict(validate=False)
    given = made.get("datasets", {})
    datasets = {name: json.loads(rows) if isinstance(rows, str) else rows for name, rows in given.items()}
    return made | {"datasets": datasets}


@contextmanager
def sharing() -> Iterator[None]:
    """Let charts that Altair joins share their encodings and marks for the block.

    It copies all of a chart whenever it does something to it, most of all these; and for each encoding that is given as
    words or as a constant, it makes its table of all classes again. Both together are most of the time that a chart
    takes.
    """
    with _SHARING:
        made = getattr(schemapi, _READER)
        setattr(schemapi, _READER, lambda _classes: _reader(made))
        for kind in _SHARED:
            setattr(kind, _COPY, lambda part, _memo=None: part)
        try:
            yield
        finally:
            setattr(schemapi, _READER, made)
            for kind in _SHARED:
                delattr(kind, _COPY)


@cache
def _reader(made: Any) -> Any:
    """What makes encodings of words and constants, with a table of Altair's classes; ``made`` makes it."""
    return made(alt.VegaLiteSchema._default_wrapper_classes())


def finish(chart: Chart, look: Look, title: str) -> Chart:
    """The chart with its title, broken to its width, and the house style; on a screen the page has the title."""
    lines = wrap(title, look.width - 2 * look.height(4), look.size(1.25), bold=True)
    # Set, not given to methods of the chart, which would copy the whole of it each time.
    if not look.screen:
        chart.title = alt.Title(lines)
    chart.padding, chart.background, chart.config = look.height(4), look.theme.paper, _config(look)
    return chart


def _config(look: Look) -> dict[str, Any]:
    theme = look.theme
    return {
        "font": FAMILY,
        "title": _heading(look),
        "axis": {
            **_guide(look, look.size(), look.size(1.07)),
            "gridColor": theme.grid,
            "gridWidth": look.stroke(0.6),
            "domainColor": theme.line,
            "tickColor": theme.line,
            "tickSize": look.height(3.5),
            "titlePadding": look.height(5),
            "labelLimit": look.width * 0.4,
        },
        "legend": {
            **_guide(look, look.size(1.05), look.size(1.05)),
            "labelLimit": look.plots - look.height(12),
            "titleLimit": look.plots,
            "symbolStrokeWidth": look.stroke(1.2),
            "symbolSize": look.area(40),
            "symbolOpacity": 1,
            "offset": look.height(8),
        },
        "header": {
            "labelFontSize": look.size(1.1),
            "labelColor": theme.ink,
            "labelFontWeight": "bold",
            "labelLimit": look.width * 0.9,
            "labelPadding": look.height(4),
        },
        "view": {"stroke": theme.line, "strokeOpacity": 0.5},
    }


def _heading(look: Look) -> dict[str, Any]:
    return {
        "anchor": "start",
        "fontSize": look.size(1.25),
        "fontWeight": "bold",
        "color": look.theme.ink,
        "offset": look.height(8),
        "frame": "bounds",
    }


def _guide(look: Look, labels: float, title: float) -> dict[str, Any]:
    """Words of an axis or a legend, in these sizes."""
    return {
        "labelFontSize": labels,
        "labelColor": look.theme.ink,
        "titleFontSize": title,
        "titleFontWeight": "normal",
        "titleColor": look.theme.ink,
    }
