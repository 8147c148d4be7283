"""The tables of a report: one module each, from the rows of one query to a frame, and to blocks for readers."""

from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from snql.reporting.context import Context
from snql.reporting.tables import (
    capability,
    controls,
    costs,
    effects,
    guard,
    guard_comparison,
    runs,
    scorers,
    tax,
    top_neurons,
    transfer,
    value_vectors,
)
from snql.writing.layout import Block


@dataclass(frozen=True)
class Table:
    """One kind of table; no rows of ``query`` is no table.

    ``cells`` makes the frame of the CSV file and the page, one number in a cell. ``blocks`` makes what LaTeX and
    Markdown show, ``caption`` the words below the title.
    """

    name: str
    title: str
    query: str
    cells: Callable[[pl.DataFrame], pl.DataFrame]
    blocks: Callable[[pl.DataFrame], tuple[Block, ...]]
    caption: Callable[[pl.DataFrame, Context], str]


TABLES = tuple(
    Table(module.NAME, module.TITLE, module.QUERY, module.cells, module.blocks, module.caption)
    for module in (
        runs,
        effects,
        transfer,
        scorers,
        costs,
        tax,
        controls,
        capability,
        guard,
        guard_comparison,
        top_neurons,
        value_vectors,
    )
)
"""All tables, in the order of a report."""
