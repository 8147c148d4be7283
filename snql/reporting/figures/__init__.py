"""The figures of a report: one module each, from the rows of one view to a chart with its words."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from snql.reporting.context import Context
from snql.reporting.figures import effect_size, layers, overlap, scores, tax, transfer
from snql.reporting.model import Drawing


@dataclass(frozen=True)
class Figure:
    """One kind of figure.

    ``order`` names the columns that sort the rows of ``view``, so that equal data give equal files. ``lacking``
    says what to run when the view is empty.
    """

    name: str
    description: str
    title: str
    view: str
    order: tuple[str, ...]
    lacking: str
    draw: Callable[[pl.DataFrame, Context], Drawing]

    @property
    def query(self) -> str:
        """The query whose rows the figure draws."""
        return f"SELECT * FROM {self.view} ORDER BY {', '.join(self.order)}"  # noqa: S608  (names of this package)


FIGURES = tuple(
    Figure(module.NAME, module.DESCRIPTION, module.TITLE, module.VIEW, order, module.LACKING, module.draw)
    for module, order in (
        (effect_size, ("run", "dataset", "series", "kind", "n_neurons", "variant")),
        (layers, ("run", "band", "layer")),
        (scores, ("run", "bin")),
        (overlap, ("run_a", "run_b")),
        (transfer, ("run", "series", "dataset")),
        (tax, ("run", "series", "judge_position", "judge", "dataset")),
    )
)
"""All figures, in the order of a report."""
