"""What all charts share: how frames become chart data, and the house style."""

import json
from collections.abc import Sequence
from typing import Any

import altair as alt
import polars as pl
from altair.utils.schemapi import debug_mode

from snql.reporting.fonts import FAMILY, wrap
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.inert import visible_frame


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


def finish(chart: Chart, look: Look, title: str, subtitle: Sequence[str] = ()) -> Chart:
    """The chart with its title, broken to its width, and the house style."""
    room = look.width - 2 * look.height(4)
    lines = wrap(title, room, look.size(1.25), bold=True)
    below = [line for text in subtitle for line in wrap(text, room, look.size(1.05))]
    heading = alt.Title(lines, subtitle=below) if below else alt.Title(lines)
    styled: Chart = chart.properties(title=heading, padding=look.height(4), background=look.theme.paper)
    configured: Chart = styled.configure(**_config(look))
    return configured


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
        "subtitleColor": look.theme.muted,
        "subtitleFontSize": look.size(1.05),
        "subtitlePadding": look.height(3),
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
