"""Draw a chart so that the whole of it, axes and legend included, has the wanted width."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import vl_convert
from altair.utils.schemapi import debug_mode

from snql.reporting import charts, fonts
from snql.reporting.interactive import PARTS
from snql.reporting.look import Look
from snql.reporting.model import Drawing

_SIZE = re.compile(r'<svg\b[^>]* width="([\d.]+)" height="([\d.]+)"')
_ROUNDS = 4
_CLOSE = 1.5
_MOST_COLUMNS = 12
Specification = dict[str, Any]


def fitted(draw: Callable[[Look], Drawing], look: Look) -> tuple[Drawing, Specification, str]:
    """The drawing whose chart is as near to ``look.width`` as plots of one row can make it.

    With it come its specification and the picture of that as the renderer draws it.

    Charts grow with their plots, one to one but for what a row does not share: measuring and giving the plots other
    widths nearly always does. Where it does not, as other labels then stand in one line, the chart is drawn again. What
    cannot shrink so far (long labels) stays wider.
    """
    for _ in range(_ROUNDS):
        drawing, specification = draw_once(draw, look)
        svg = svg_of(specification)
        if _missing(look, svg) == 0:
            break
        wider = _wider(look, _missing(look, svg))
        patched = _with_plots(specification, look, wider)
        svg = svg_of(patched)
        if _missing(wider, svg) == 0:
            return drawing, patched, svg
        look = wider
    return drawing, specification, svg


def nearly_fitted(draw: Callable[[Look], Drawing], look: Look) -> tuple[Drawing, Specification, Look]:
    """The drawing after one correction of its width, with the look that has it: for a page, which scales the rest."""
    drawing, specification = draw_once(draw, look)
    wider = _wider(look, _missing(look, svg_of(specification)))
    patched = _with_plots(specification, look, wider)
    if wider != look and patched == specification:
        drawing, patched = draw_once(draw, wider)
    return drawing, patched, wider


def _missing(look: Look, svg: str) -> float:
    """How much wider the picture should be; 0 where nobody sees it."""
    missing = look.width - measured(svg)[0]
    return 0.0 if abs(missing) <= _CLOSE else missing


def _wider(look: Look, missing: float) -> Look:
    return replace(look, plots=max(20.0, look.plots + missing))


def _with_plots(specification: Specification, before: Look, after: Look) -> Specification:
    """The specification of a chart drawn with one look, its plots as wide as the other gives them."""
    widths = {before.panel_width(columns): after.panel_width(columns) for columns in range(1, _MOST_COLUMNS + 1)}

    def changed(view: Specification) -> Specification:
        made = {**view, "width": widths.get(view["width"], view["width"])} if "width" in view else dict(view)
        made |= {part: [changed(child) for child in view[part]] for part in PARTS if part in view}
        return made | ({"spec": changed(view["spec"])} if "spec" in view else {})

    return changed(specification)


def draw_once(draw: Callable[[Look], Drawing], look: Look) -> tuple[Drawing, Specification]:
    """The drawing and its specification, as wide as it comes. Altair's checks are left to the renderer."""
    with debug_mode(False), charts.sharing():
        drawing = draw(look)
        return drawing, charts.specification(drawing.chart)


def svg_of(specification: Specification) -> str:
    """The chart as the renderer draws it."""
    fonts.register()
    svg: str = vl_convert.vegalite_to_svg(specification, allowed_base_urls=[])
    return svg


def measured(svg: str) -> tuple[float, float]:
    """Width and height of an SVG picture in its own units."""
    found = _SIZE.search(svg)
    if not found:
        raise ValueError("an SVG picture without a size")
    return float(found[1]), float(found[2])


def resized(svg: str, width: float) -> str:
    """The picture exactly ``width`` wide: a narrower one gets margins, a wider one is scaled down."""
    was, high = measured(svg)
    view = max(was, width)
    height = high * width / view
    left = (view - was) / 2
    head, end, body = svg.partition(">")
    head = re.sub(r' width="[^"]*" height="[^"]*" viewBox="[^"]*"', "", head)
    size = f'width="{width:.3f}" height="{height:.3f}" viewBox="{-left:g} 0 {view:g} {high:g}"'
    return f"{head} {size}{end}{body}"
