"""What tells series apart, in colour and without: colour, shape and dash, and the legend that explains them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any, NamedTuple

import altair as alt

from snql.reporting.fonts import measure, wrap
from snql.reporting.kit.plain import Plain, plain
from snql.reporting.look import Look

SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down", "triangle-right")
DASHES = ([1, 0], [6, 2], [2, 2], [8, 2, 2, 2], [4, 4], [1, 3], [10, 3])
CONTROL = "random sets (mean and range)"


class Mark(NamedTuple):
    """How one series is drawn; one without a shape or dash has no place on those scales."""

    colour: str
    shape: str | None = None
    dash: Sequence[int] | None = None


@dataclass(frozen=True)
class Channels:
    """The encodings by series."""

    color: alt.Color
    shape: alt.Shape
    dash: alt.StrokeDash

    @property
    def marks(self) -> dict[str, Any]:
        """Colour and shape: what points have."""
        return {"color": self.color, "shape": self.shape}


def marks(labels: Sequence[str], look: Look) -> dict[str, Mark]:
    """A mark for each label, in the order of the house; again from the start where there are more."""
    return dict(zip(labels, map(Mark, cycle(look.theme.colours), cycle(SHAPES), cycle(DASHES)), strict=False))


def with_control(labels: Sequence[str], look: Look, *, controlled: bool, control: str = CONTROL) -> dict[str, Mark]:
    """Marks of the labels, and of their random sets where there are any."""
    return marks(labels, look) | ({control: Mark(look.theme.control, "diamond")} if controlled else {})


def channels(
    drawn: Mapping[str, Mark], look: Look, field: str = "label", *, dashes: bool = False, **legend: Any
) -> Channels:
    """Encodings of the series that ``field`` names; ``dashes``: the legend shows them too.

    ``legend`` has further settings of the legend, which stands below the plots.
    """
    shown = {"title": None, "orient": "bottom", "columns": legend_columns([*drawn], look)} | legend

    def scale(values: Mapping[str, Any]) -> Plain:
        known = {label: value for label, value in values.items() if value is not None}
        return plain(domain=[*known], range=[*known.values()])

    column = f"{field}:N"
    return Channels(
        alt.Color(column, scale=scale({label: mark.colour for label, mark in drawn.items()}), legend=shown),
        alt.Shape(column, scale=scale({label: mark.shape for label, mark in drawn.items()}), legend=shown),
        alt.StrokeDash(
            column,
            scale=scale({label: mark.dash for label, mark in drawn.items()}),
            legend=shown if dashes else None,
        ),
    )


def legend_columns(labels: Sequence[str], look: Look) -> int:
    """In how many columns the entries of a legend below the plots fit."""
    widest = max((measure(label, look.size(1.05)) for label in labels), default=0) + 26 * look.scale
    return max(1, min(len(labels), int(look.plots // widest)))


def legend_title(text: str, look: Look) -> list[str]:
    """A legend's title as lines that fit the chart."""
    return wrap(text, look.plots, look.size(1.05))


def ramp(
    column: str, colours: Mapping[float, str], length: float, look: Look, *, log: bool = False, **legend: Any
) -> alt.Color:
    """Colours between those given at some numbers, with a strip of ``length`` as the legend."""
    strip = {"title": None, "orient": "bottom", "gradientLength": length, "gradientThickness": look.height(5)}
    kind: dict[str, Any] = {"type": "log"} if log else {}
    scale = plain(domain=[*colours], range=[*colours.values()], interpolate="rgb", **kind)
    return alt.Color(f"{column}:Q", scale=scale, legend=strip | legend)
