"""What a report shows, and how."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.options import Argument, Flag, Joined

FIGURE_NAMES = (
    *("effect-size", "graded-effects", "routes", "ablation", "layers", "scores", "overlap", "cross-effects", "windows"),
    *("locating-prompts", "locating-pairs", "locating-positions", "transfer", "scorers", "tax", "stability"),
    *("intervals", "volcano", "shift", "activations", "tokens", "verdicts", "trace", "judges", "guard"),
    *("guard-comparison", "guard-costs"),
)
"""The figures in the order of a report, for those who only need their names."""
DEFAULT_FORMATS = ("svg", "pdf", "png", "html")


@dataclass(frozen=True, kw_only=True)
class ReportOptions:
    """What is drawn, and how it looks.

    figures, runs: all if empty. theme, width: as of :func:`snql.reporting.look.look`. compare: databases whose runs
    stand beside this one's.
    """

    figures: Annotated[tuple[str, ...], Doc("Figures to draw; all by default."), Argument()] = ()
    formats: Annotated[
        tuple[str, ...], Doc("Any of svg, pdf, png, html, json."), Flag("--format", key="formats"), Joined()
    ] = DEFAULT_FORMATS
    theme: Annotated[str, Doc("paper, talk (large) or dark.")] = "paper"
    width: Annotated[str, Doc("column (85 mm), page (170 mm) or a number of millimetres.")] = "page"
    runs: Annotated[
        tuple[str, ...], Doc("A run to report on; repeatable; all by default."), Flag("--run", key="runs")
    ] = ()
    compare: Annotated[tuple[Path, ...], Doc("Another database, to be shown side by side; repeatable.")] = ()


EVERYTHING = ReportOptions()


@dataclass(frozen=True)
class Parts:
    """Names of exactly those figures and tables that are wanted, perhaps none; neurons then have no pages."""

    figures: tuple[str, ...] = ()
    tables: tuple[str, ...] = ()
