"""Tables as readers of a paper want them: numbers with their intervals, rows under headings, blocks side by side.

A table of a report has two forms. Its frame has one number in each cell, for programs and for sorting; its blocks,
which this module describes, are what LaTeX and Markdown show.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from snql.writing.words import decimal, interval, short_labels

UNDEFINED = "\u2013"


@dataclass(frozen=True)
class Number:
    """One number; None is one that is undefined, shown as a dash. ``places`` are its digits after the point.

    small: whether one that would round to 0 keeps its value, with an exponent (a score, a p), or is as good as 0.
    """

    value: float | None
    places: int = 2
    small: bool = False

    def text(self) -> str:
        """The number as plain text."""
        return UNDEFINED if self.value is None else decimal(self.value, self.places, small=self.small)


@dataclass(frozen=True)
class Interval:
    """The ends of an interval; nothing is shown for one that is undefined."""

    low: float | None
    high: float | None
    places: int = 2

    def text(self) -> str:
        """The interval as plain text."""
        return interval(self.low, self.high, self.places)


@dataclass(frozen=True)
class Estimate:
    """A number with the interval that belongs to it, in one column."""

    number: Number
    interval: Interval

    def text(self) -> str:
        """Both as plain text."""
        return f"{self.number.text()} {self.interval.text()}".rstrip()


def estimate(value: float | None, low: float | None, high: float | None) -> Estimate:
    """A number with its interval, to two places."""
    return Estimate(Number(value), Interval(low, high))


Cell = str | Number | Interval | Estimate | None
"""None is what was not measured: the cell stays empty. Text may have two lines, for rows with estimates."""


@dataclass(frozen=True)
class Column:
    """One column: ``note`` stands below its head, ``group`` above it and above its neighbours of the same group."""

    head: str
    kind: Literal["text", "number", "interval"] = "number"
    note: str = ""
    group: str = ""


@dataclass(frozen=True)
class Group:
    """Rows below a heading that runs over all columns; no heading if ``head`` is empty."""

    head: str
    rows: tuple[tuple[Cell, ...], ...]


@dataclass(frozen=True)
class Block:
    """Rows with the same columns, the first ``n_labels`` of which say what a row is; ``head`` stands above them."""

    head: str
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    n_labels: int = 1

    def __post_init__(self) -> None:
        widths = {len(row) for group in self.groups for row in group.rows}
        if widths - {len(self.columns)}:
            raise ValueError(f"rows of {sorted(widths)} cells in a block of {len(self.columns)} columns")

    def with_groups(self, groups: Sequence[Group]) -> "Block":
        """The same block with other rows."""
        return replace(self, groups=tuple(groups))

    def with_columns(self, places: Sequence[int]) -> "Block":
        """The block with only the columns at these places."""
        groups = (
            Group(group.head, tuple(tuple(row[place] for place in places) for row in group.rows))
            for group in self.groups
        )
        return replace(self, columns=tuple(self.columns[place] for place in places), groups=tuple(groups))


def dataset_columns(sizes: dict[str, list[int]]) -> tuple[Column, ...]:
    """One column for each data set, in the order given, with its number of prompts; ``*`` is all of them."""
    labels = short_labels(sizes, 40) | {"*": "all data sets"}
    return tuple(Column(labels[name], note=_n_words(numbers)) for name, numbers in sizes.items())


def _n_words(numbers: Sequence[int]) -> str:
    low, high = min(numbers), max(numbers)
    return f"n = {low:,}" if low == high else f"n = {low:,} to {high:,}"
