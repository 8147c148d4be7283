"""How charts look: theme, size and palette. One chart unit is one point, 1/72 inch.

Palettes are made for colour-blind readers and for greyscale prints: neighbouring series differ in lightness, and every
series also has its own point shape and dash (see :mod:`snql.reporting.charts`).
"""

import re
from dataclasses import dataclass, replace

from snql.errors import InputError

POINTS_PER_MM = 72 / 25.4
WIDTHS = {"column": 85.0, "page": 170.0}
"""Named widths in millimetres: one column and the whole text width of a two-column page."""
NARROWEST, WIDEST = 40.0, 1000.0
_LABEL = 7.5
_SCREEN_WIDTH, _SCREEN_SCALE = 780.0, 1.6
_SCREEN_LEAST = 11.0
_MM = re.compile(r"(\d+(?:\.\d+)?)(?:\s*mm)?")


@dataclass(frozen=True)
class Theme:
    """Colours as hexadecimal strings, and ``scale``: font and mark sizes relative to a page of print.

    ``colours`` are for series in their order; ``control`` is for random sets, ``fill`` for the bars of histograms;
    ``ramp`` is a scale from none to much, ``diverging`` one from -1 by 0 to 1; ``on_fill`` is text on the dark ends
    of both.
    """

    name: str
    paper: str
    ink: str
    muted: str
    grid: str
    line: str
    empty: str
    control: str
    fill: str
    colours: tuple[str, ...]
    ramp: tuple[str, str]
    diverging: tuple[str, str, str]
    on_fill: str
    scale: float = 1.0

    def on(self, fill: str) -> str:
        """Ink or paper, whichever stands out more from a fill."""
        return max((self.ink, self.paper), key=lambda colour: _contrast(colour, fill))


def _contrast(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2: from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


_PAPER = Theme(
    name="paper",
    paper="#ffffff",
    ink="#1f1f1f",
    muted="#5f5f5f",
    grid="#e6e6e6",
    line="#8a8a8a",
    empty="#ececec",
    control="#8a8a8a",
    fill="#9ecae1",
    colours=("#00508f", "#d55e00", "#56b4e9", "#000000", "#f0d54a", "#8c2d6e", "#009e73"),
    ramp=("#ffffff", "#08519c"),
    diverging=("#b35806", "#ffffff", "#08519c"),
    on_fill="#ffffff",
)
THEMES = {
    "paper": _PAPER,
    "talk": replace(_PAPER, name="talk", scale=1.7),
    "dark": Theme(
        name="dark",
        paper="#17171a",
        ink="#ececf0",
        muted="#b0b0b8",
        grid="#33333a",
        line="#7a7a84",
        empty="#2b2b31",
        control="#9a9aa2",
        fill="#3f7fb0",
        colours=("#7cc4f5", "#f0803c", "#ffffff", "#f2d24b", "#4c8fd6", "#d98cc0", "#3cc79a"),
        ramp=("#17171a", "#8fd0ff"),
        diverging=("#f0a35e", "#17171a", "#8fd0ff"),
        on_fill="#17171a",
    ),
}


@dataclass(frozen=True)
class Look:
    """A theme, the width of the whole chart, and what of it the plots of one row share. Widths are in points.

    screen: whether a page shows the chart, below a heading of its own.
    """

    theme: Theme
    width: float
    plots: float
    screen: bool = False

    @property
    def scale(self) -> float:
        """Sizes relative to a page of print."""
        return self.theme.scale

    @property
    def narrow(self) -> bool:
        """Whether the chart is a column of text wide, so that labels need a second line."""
        return self.width < 120 * POINTS_PER_MM * self.scale

    def size(self, relative: float = 1.0) -> float:
        """A font size; 1 is that of axis labels."""
        return max(round(_LABEL * self.scale * relative, 2), _SCREEN_LEAST if self.screen else 0.0)

    def height(self, points: float) -> float:
        """A height (or any length) that grows with the fonts."""
        return round(points * self.scale, 1)

    def area(self, points: float) -> float:
        """The size of a point mark, in square points."""
        return round(points * self.scale**2, 1)

    def stroke(self, points: float) -> float:
        """The width of a line."""
        return round(points * float(self.scale**0.5), 2)

    def columns(self, n_panels: int, narrowest: float = 105.0, most: int = 3) -> int:
        """How many panels stand side by side, each at least ``narrowest`` wide, axes included."""
        return max(1, min(n_panels, most, int(self.width // (narrowest * self.scale))))

    def panel_width(self, columns: int = 1) -> float:
        """Width of the plot of one of ``columns`` panels in a row."""
        return max(round(self.plots / columns, 2), 20.0)


def look(theme: str = "paper", width: str = "page") -> Look:
    """The look of a file: a theme's name, and ``column``, ``page`` or a number of millimetres.

    Raises InputError for an unknown theme, or a width that is none or beyond 40 to 1000 mm.
    """
    if theme not in THEMES:
        raise InputError(f"unknown theme {theme!r}: choose from {', '.join(THEMES)}")
    return sized(THEMES[theme], _millimetres(width) * POINTS_PER_MM)


def on_screen(theme: Theme, width: float = _SCREEN_WIDTH) -> Look:
    """The look of a chart in a web page, where a unit is a pixel; no text is smaller than 11."""
    return replace(sized(replace(theme, scale=_SCREEN_SCALE), width), screen=True)


def sized(theme: Theme, width: float) -> Look:
    """A look for a chart of ``width`` points, with a first guess of what axes and padding take."""
    return Look(theme, width, max(40.0, width - 60 * theme.scale))


def _millimetres(width: str) -> float:
    found = _MM.fullmatch(width.strip().lower())
    value = WIDTHS.get(width, float(found[1]) if found else 0.0)
    if not NARROWEST <= value <= WIDEST:
        names = ", ".join(f"{name} ({size:g} mm)" for name, size in WIDTHS.items())
        raise InputError(f"unknown width {width!r}: choose {names}, or {NARROWEST:g} to {WIDEST:g} millimetres")
    return value
