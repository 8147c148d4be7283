"""Plots made of characters, of exactly the width that is asked for.

plotext draws the plots. Series differ in their marks, not in colour alone; with ``colour`` false there is no escape
sequence in the text at all. Lines of a plot are never wider than its width.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MARKS = ("\u25cf", "\u25a0", "\u25b2", "\u25c6")
COLOURS = ("blue", "orange", "green", "magenta")
CONTROL_MARK = "\u00d7"
NARROWEST = 40


@dataclass(frozen=True)
class Series:
    """Points (x, y) with one mark; ``bars`` are the ends of their intervals, None where there is none."""

    mark: str
    colour: str
    points: Sequence[tuple[float, float]]
    bars: Sequence[tuple[float, float] | None] = ()


@dataclass(frozen=True)
class Plot:
    """One plot: series or ``columns`` (x, height), the ends of y, ticks, and lines across it."""

    x_label: str
    y_limits: tuple[float, float]
    series: Sequence[Series] = ()
    columns: Sequence[tuple[float, float]] = ()
    x_ticks: Sequence[tuple[float, str]] = ()
    y_ticks: Sequence[tuple[float, str]] = ()
    across: Sequence[float] = ()
    upright: Sequence[float] = ()
    height: int = 15
    x_limits: tuple[float, float] | None = field(default=None)


def plot(drawn: Plot, width: int, *, colour: bool) -> list[str]:
    """The lines of a plot, ``width`` characters wide."""
    import plotext

    figure: Any = plotext.figure
    figure.clear()
    figure.theme("colorless")
    figure.canvas("default")
    figure.plot_size(width, drawn.height)
    if drawn.columns:
        xs, heights = zip(*drawn.columns, strict=True)
        figure.draw(figure.bar(list(xs), list(heights), marker=_mark("\u2588", COLOURS[0]), width=1))
    for value in drawn.across:
        figure.line(value, "horizontal", style="dotted")
    for value in drawn.upright:
        figure.line(value, "vertical", style="dotted")
    for series in drawn.series:
        _draw(figure, series)
    _axes(figure, drawn)
    text = str(figure.build())
    figure.clear()
    plain = text if colour else str(plotext.uncolorize(text))
    return [line.rstrip() for line in plain.rstrip("\n").split("\n")]


def _draw(figure: Any, series: Series) -> None:
    for (x, _), ends in zip(series.points, series.bars, strict=False):
        if ends is not None:
            figure.draw(figure.segment((x, x), ends, marker=_mark("\u2502", series.colour)))
    if series.points:
        xs, ys = zip(*series.points, strict=True)
        figure.draw(figure.signal(list(xs), list(ys), marker=_mark(series.mark, series.colour)))


def _mark(character: str, colour: str) -> Any:
    import plotext

    return plotext.colorize(character, colour)


def _axes(figure: Any, drawn: Plot) -> None:
    figure.ruler("y").lim(*drawn.y_limits)
    if drawn.x_limits:
        figure.ruler("x").lim(*drawn.x_limits)
    for axis, ticks in (("x", drawn.x_ticks), ("y", drawn.y_ticks)):
        if ticks:
            figure.ruler(axis).ticks([value for value, _ in ticks], [words for _, words in ticks])
    figure.label(drawn.x_label, "x")


def bar(
    limits: tuple[float, float],
    width: int,
    spans: Sequence[tuple[float, float, str]],
    marks: Sequence[tuple[float, str]],
) -> str:
    """A scale of ``width`` characters with spans (from, to, character) and marks on them, later ones on top."""
    low, high = limits
    cells = [" "] * width

    def place(value: float) -> int:
        share = (value - low) / (high - low) if high > low else 0.5
        return min(width - 1, max(0, round(share * (width - 1))))

    for start, end, character in spans:
        for position in range(place(start), place(end) + 1):
            cells[position] = character
    for value, character in marks:
        cells[place(value)] = character
    return "".join(cells)
