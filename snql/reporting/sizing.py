"""Draw a chart so that the whole of it, axes and legend included, has the wanted width."""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import vl_convert
from altair.utils.schemapi import debug_mode

from snql.reporting import charts, fonts
from snql.reporting.look import Look
from snql.reporting.model import Drawing

_SIZE = re.compile(r'<svg\b[^>]* width="([\d.]+)" height="([\d.]+)"')
_ROUNDS = 4
_CLOSE = 1.5
Specification = dict[str, Any]


def fitted(draw: Callable[[Look], Drawing], look: Look) -> tuple[Drawing, Specification, str]:
    """The drawing whose chart is as near to ``look.width`` as plots of one row can make it.

    With it come its specification and the picture of that as the renderer draws it.

    Charts grow with their plots, one to one but for what a row does not share: drawing, measuring and correcting
    finds the width in two or three rounds. What cannot shrink so far (long labels) stays wider.
    """
    for _ in range(_ROUNDS):
        drawing, specification = draw_once(draw, look)
        svg = svg_of(specification)
        width, _height = measured(svg)
        if abs(look.width - width) <= _CLOSE:
            break
        look = replace(look, plots=max(20.0, look.plots + look.width - width))
    return drawing, specification, svg


def draw_once(draw: Callable[[Look], Drawing], look: Look) -> tuple[Drawing, Specification]:
    """The drawing and its specification, as wide as it comes. Altair's checks are left to the renderer."""
    with debug_mode(False):
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
