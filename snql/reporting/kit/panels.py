"""Panels: one small plot beside the other, on shared rows or each with its own."""

from collections.abc import Sequence
from typing import Any, Literal

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart


def facets(
    layers: Sequence[alt.Chart],
    data: pl.DataFrame,
    look: Look,
    columns: int,
    height: float,
    *,
    width: float | None = None,
    own: Literal["axis", "scales", ""] = "axis",
) -> Chart:
    """The layers once for each value of the column ``panel``, a heading, of which a line break starts a second line.

    Panels stand in the order of :func:`order`. own: whether each has its axis across, or scales of its own. Lengths are
    in points; panels take all the width that there is unless one is given.
    """
    size = {"width": width or look.panel_width(columns), "height": height}
    header = plain(title=None, labelExpr="split(datum.value, '\\n')")
    facet = alt.Facet("panel:N", sort=order(data), header=header)
    made: alt.FacetChart = alt.layer(*layers, data=charts.data(data)).properties(**size).facet(facet, columns=columns)
    if own == "scales":
        made = made.resolve_scale(x="independent", y="independent")
    elif own == "axis":
        made = made.resolve_axis(x="independent")
    return made


def order(data: pl.DataFrame) -> list[str]:
    """The panels of some rows: by run, and by data set if the rows have it."""
    keys = [name for name in ("run", "dataset") if name in data.columns]
    headings: list[str] = (
        data.drop_nulls("run").sort(keys, maintain_order=True)["panel"].unique(maintain_order=True).to_list()
    )
    return headings


def in_a_row(n_panels: int, look: Look, narrowest: float = 105.0) -> int:
    """How many panels stand side by side: two while they are few, else three, if there is room."""
    return look.columns(n_panels, narrowest, most=3 if n_panels > 4 else 2)


def panel(
    layers: Sequence[alt.Chart | alt.LayerChart], look: Look, height: Any, columns: int = 1, **more: Any
) -> Chart:
    """Layers as one of ``columns`` plots in a row."""
    made: Chart = alt.layer(*layers).properties(width=look.panel_width(columns), height=height, **more)
    return made


def heading(text: str | Sequence[str], look: Look, **more: Any) -> alt.Title:
    """What stands above one panel."""
    style: dict[str, Any] = {"fontSize": look.size(1.1), "offset": look.height(4), "frame": "group"}
    return alt.Title(text if isinstance(text, str) else list(text), **style | more)
