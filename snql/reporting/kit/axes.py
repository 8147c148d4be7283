"""Axes: how marks are put on one, the scales of effects and of set sizes, names in lines."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import polars as pl

from snql.reporting.fonts import wrap
from snql.reporting.kit.plain import Plain, plain
from snql.reporting.look import Look

FORMAT = ".6~g"
"""Numbers on axes: 1000 and 0.01, not 1e+3."""
_CHANNELS = {"x": alt.X, "y": alt.Y}


@dataclass(frozen=True)
class Axis:
    """The axis of what a chart measures, ``x`` or ``y``, with the settings that all marks on it share."""

    name: str
    settings: Mapping[str, Any]

    def at(self, column: str) -> dict[str, Any]:
        """The encoding that puts marks at the values of a column."""
        return {self.name: _CHANNELS[self.name](f"{column}:Q", **self.settings)}

    def span(self, low: str, high: str) -> dict[str, Any]:
        """The encoding of marks that reach from one column to another."""
        return {**self.at(low), f"{self.name}2": f"{high}:Q"}


def x(**settings: Any) -> Axis:
    """The axis across: settings are those of ``alt.X``."""
    return Axis("x", settings)


def y(**settings: Any) -> Axis:
    """The axis upwards: settings are those of ``alt.Y``."""
    return Axis("y", settings)


def effect_limits(frame: pl.DataFrame) -> tuple[float, float]:
    """Ends of the effect axis: all effects, 0 and 1; intervals up to one unit beyond, the rest is cut."""
    defined = frame.filter(pl.col("effect").is_not_null())
    low, high = [*defined["effect"], 0.0], [*defined["effect"], 1.0]
    bottom = max(min([*defined["ci_low"].drop_nulls(), *low]), min(low) - 1)
    top = min(max([*defined["ci_high"].drop_nulls(), *high]), max(high) + 1)
    return bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom)


def effect_scale(frame: pl.DataFrame) -> Plain:
    """The scale of effects: those of the sets, and the ranges of their random sets if the rows have them."""
    ends = [name for name in ("control_min", "control_max") if name in frame.columns]
    ranges = [frame.select(effect=end, ci_low=end, ci_high=end) for end in ends]
    whole = pl.concat([frame.select("effect", "ci_low", "ci_high"), *ranges])
    return plain(domain=effect_limits(whole), nice=False, zero=False)


def effects_across(scale: Plain, *, last: bool, **more: Any) -> Axis:
    """Effects across panels below each other: numbers only on the last one, as all have one scale."""
    title = "causal effect" if last else None
    return x(scale=scale, axis=plain(title=title, labels=last, ticks=last, **more))


def size_scale(sizes: pl.Series) -> Plain:
    """The scale of numbers of neurons: logarithmic where they differ by more than 30 times."""
    smallest, largest = min(sizes, default=1), max(sizes, default=1)
    if smallest > 0 and largest / smallest > 30:
        return plain(type="log", nice=False, domain=(smallest / 1.4, largest * 1.4))
    return plain(nice=False, domain=(0, max(largest, 1) * 1.06))


def sizes(frame: pl.DataFrame, title: str, column: str = "n_neurons") -> alt.X:
    """Numbers of neurons across; ``column`` is where marks stand."""
    axis = plain(format="~s", tickCount=5, labelFlush=False, labelOverlap="greedy")
    return alt.X(f"{column}:Q", title=title, scale=size_scale(frame["n_neurons"]), axis=axis)


def names(places: Sequence[str], look: Look, share: float = 0.42, column: str = "place") -> alt.Y:
    """Rows by name, from top to bottom: no ticks, a line break in a name starts a new line.

    Names take at most ``share`` of the width.
    """
    return alt.Y(f"{column}:N", sort=list(places), axis=name_axis(look, share))


def tall_names(places: Sequence[str], look: Look, share: float) -> alt.Y:
    """Rows by name as in :func:`names`, with all lines of the names, not the first, at the height of the marks."""
    lines = 1 + max(place.count("\n") for place in places)
    return alt.Y("place:N", sort=list(places), axis=name_axis(look, share, lines))


def name_axis(look: Look, share: float, lines: int = 1) -> Plain:
    """An axis of names of ``lines`` lines: Vega centres the first one, this all of them."""
    labels, limit, up = "split(datum.label, '\\n')", look.width * share, -look.size(0.6) * (lines - 1)
    return plain(title=None, grid=True, ticks=False, labelExpr=labels, labelLimit=limit, labelOffset=up)


def in_lines(text: str, look: Look, columns: int) -> list[str]:
    """The title of an axis as lines that fit one of ``columns`` panels in a row."""
    return wrap(text, 0.6 * look.width / columns, look.size(1.07))
