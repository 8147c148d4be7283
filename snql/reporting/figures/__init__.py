"""The figures of a report: one module each, from the rows of one view to a chart with its words."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import polars as pl

from snql.reporting.context import Context
from snql.reporting.figures import (
    activations,
    cross_effects,
    effect_size,
    guard,
    guard_costs,
    intervals,
    judges,
    layers,
    locating_pairs,
    locating_positions,
    locating_prompts,
    overlap,
    scores,
    shift,
    stability,
    tax,
    tokens,
    trace,
    transfer,
    verdicts,
    volcano,
    windows,
)
from snql.reporting.look import Look
from snql.reporting.model import Drawing

Draw = Callable[[pl.DataFrame, Context, Look], Drawing]


class _Module(Protocol):
    """What a module of this folder has."""

    NAME: str
    DESCRIPTION: str
    TITLE: str
    VIEW: str
    ORDER: tuple[str, ...]
    LACKING: str
    draw: Draw


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    ``order`` names the columns that sort the rows of ``view``, so that equal data give equal files. ``lacking``
    says what to run when the view is empty. ``draw`` is pure: it is called again with other looks.
    """

    name: str
    description: str
    title: str
    view: str
    order: tuple[str, ...]
    lacking: str
    draw: Draw

    @property
    def query(self) -> str:
        """The query whose rows the figure draws."""
        return f"SELECT * FROM {self.view} ORDER BY {', '.join(self.order)}"  # noqa: S608  (names of this package)


def _figure(module: _Module) -> Figure:
    return Figure(module.NAME, module.DESCRIPTION, module.TITLE, module.VIEW, module.ORDER, module.LACKING, module.draw)


FIGURES = tuple(
    _figure(module)
    for module in (
        effect_size,
        layers,
        scores,
        overlap,
        cross_effects,
        windows,
        locating_prompts,
        locating_pairs,
        locating_positions,
        transfer,
        tax,
        stability,
        intervals,
        volcano,
        shift,
        activations,
        tokens,
        verdicts,
        trace,
        judges,
        guard,
        guard_costs,
    )
)
"""All figures, in the order of a report."""
