"""Tables that keep their result at any width: which columns are shown, and as what.

What a table is about (``results``) and what tells its rows from one another is always shown. Of the others those go
first that say the same in every row, then the last ones; a line names them. If even what must be shown is too wide,
each row becomes lines. Numbers are never cut, texts are folded.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from snql.writing import terminal

if TYPE_CHECKING:
    import polars as pl

MIN_TEXT = 12
_LEAST_TEXT = 8
_FRAME = 3
"""Characters that a column takes beside its text."""

_NONE = "-"
_SMALLEST = 1e-12


@dataclass(frozen=True)
class Column:
    """One column as text. whole: its cells are not folded; needed: it is never left out."""

    heading: str
    cells: tuple[str, ...]
    numeric: bool
    whole: bool = False
    needed: bool = False

    @property
    def constant(self) -> bool:
        """Whether it says the same in several rows."""
        return len(self.cells) > 1 and len(set(self.cells)) == 1

    def least(self, least_text: int) -> int:
        """Characters that it needs: its longest number, its longest word, or so much of its texts."""
        words = max((terminal.width(word) for word in self.heading.split()), default=0)
        if self.numeric or self.whole:
            return max(words, self._widest)
        return min(least_text, self.most)

    @property
    def most(self) -> int:
        """Characters that it can use."""
        return max(terminal.width(self.heading), self._widest)

    @property
    def stacked(self) -> "Column":
        """With intervals below their values."""
        return replace(self, cells=tuple(cell.replace(" [", "\n[") for cell in self.cells)) if self.numeric else self

    @property
    def _widest(self) -> int:
        return max((terminal.width(line) for cell in self.cells for line in cell.split("\n")), default=0)


@dataclass(frozen=True)
class Fit:
    """The columns that fit, with their widths, and the headings of those left out."""

    columns: list[Column]
    widths: list[int]
    left_out: list[str]


def columns_of(frame: "pl.DataFrame", headings: Mapping[str, str], results: Sequence[str] = ()) -> list[Column]:
    """The columns of a frame by their headings; a value with the ends of its interval after it is one of them.

    results: names of those that the table is about.
    """
    found: list[tuple[str, Column]] = []
    names = iter(headings)
    for name in names:
        kind = frame.schema[name]
        ends = _interval(name, list(headings))
        if ends is None:
            cells = tuple(terminal.cell(value) for value in frame[name])
        else:
            next(names), next(names)
            cells = tuple(with_interval(*row) for row in frame.select(name, *ends).iter_rows())
        found.append((name, Column(headings[name], cells, kind.is_numeric(), kind.is_temporal(), name in results)))
    telling = _telling([column for _, column in found], frame.height)
    return [replace(column, needed=column.needed or place in telling) for place, (_, column) in enumerate(found)]


def with_interval(value: float | None, low: float | None, high: float | None) -> str:
    """A value with its interval in three figures, such as ``0.51 [0.4, 0.6]``."""
    if value is None:
        return _NONE
    return figures(value) if low is None or high is None else f"{figures(value)} [{figures(low)}, {figures(high)}]"


def figures(value: float) -> str:
    """Three figures; what is 0 but for rounding is 0."""
    return "0" if abs(value) < _SMALLEST else f"{value:.3g}"


def fitting(columns: Sequence[Column], width: int) -> Fit | None:
    """The columns that fit side by side; None if what is needed does not fit, however folded."""
    for least_text, tried in ((MIN_TEXT, columns), (MIN_TEXT, _stacked(columns)), (_LEAST_TEXT, _stacked(columns))):
        kept = set(range(len(columns)))
        least = [column.least(least_text) for column in tried]
        for place in _dispensable(columns):
            if len(kept) == 1 or _width([least[each] for each in kept]) <= width:
                break
            kept.remove(place)
        places = sorted(kept)
        if len(places) == 1 or _width([least[each] for each in places]) <= width:
            shown = [tried[place] for place in places]
            left_out = [column.heading for place, column in enumerate(columns) if place not in kept]
            return Fit(shown, _widened(shown, [least[place] for place in places], width), left_out)
    return None


def _stacked(columns: Sequence[Column]) -> list[Column]:
    return [column.stacked for column in columns]


def _widened(columns: Sequence[Column], least: Sequence[int], width: int) -> list[int]:
    """Widths of columns: what they need, and of the room that is left what they can use, the narrowest first."""
    widths = list(least)
    room = width - _width(widths)
    for place in sorted(range(len(columns)), key=lambda place: columns[place].most - least[place]):
        more = min(max(0, room), columns[place].most - widths[place])
        widths[place] += more
        room -= more
    return widths


def _interval(name: str, names: Sequence[str]) -> tuple[str, str] | None:
    """The two columns after a value's, where they are the ends of its interval."""
    place = names.index(name)
    ends = names[place + 1 : place + 3]
    if len(ends) == 2 and ends[0].endswith("low") and ends[1].endswith("high"):
        return ends[0], ends[1]
    return None


def _telling(columns: Sequence[Column], n_rows: int) -> set[int]:
    """Places of columns that tell rows apart, texts before numbers; none that adds nothing to those before it."""
    chosen: list[int] = []
    n_apart = 1
    for place in sorted(range(len(columns)), key=lambda place: columns[place].numeric):
        rows = set(zip(*(columns[each].cells for each in (*chosen, place)), strict=True))
        if n_apart < len(rows) and n_apart < n_rows:
            chosen, n_apart = [*chosen, place], len(rows)
    return set(chosen)


def _dispensable(columns: Sequence[Column]) -> Iterator[int]:
    """Places of columns that may be left out, in that order."""
    places = [place for place in reversed(range(len(columns))) if not columns[place].needed]
    yield from (place for place in places if columns[place].constant)
    yield from (place for place in places if not columns[place].constant)


def _width(widths: Sequence[int]) -> int:
    """Of a table with columns of these widths."""
    return 1 + sum(width + _FRAME for width in widths)
