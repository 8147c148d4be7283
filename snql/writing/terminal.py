"""Cells, tables and sentences for the terminal, as plain text without escape sequences."""

import textwrap
import unicodedata
from collections.abc import Sequence

from snql.writing.inert import visible
from snql.writing.values import short
from snql.writing.words import shorten


def cell(value: object) -> str:
    """A value of a row, on one line."""
    return visible(short(value))


def width(text: str) -> int:
    """Characters of a terminal that text takes: two for wide letters, none for those that combine."""
    return sum(
        0 if unicodedata.combining(letter) else 2 if unicodedata.east_asian_width(letter) in "WF" else 1
        for letter in text
    )


def table(rows: Sequence[Sequence[str]], most: int, n_text: int = 1) -> list[str]:
    """Rows as columns side by side, the first ``n_text`` to the left and cut so that lines have ``most`` characters."""
    cells = [[visible(text) for text in row] for row in rows]
    widths = [max(width(row[place]) for row in cells) for place in range(len(cells[0]))]
    while sum(widths) + 2 * (len(widths) - 1) > most and max(widths[:n_text]) > 6:
        widths[widths.index(max(widths[:n_text]))] -= 1
    return [
        "  ".join(
            _padded(text, size, left=place < n_text) for place, (text, size) in enumerate(zip(row, widths, strict=True))
        ).rstrip()[:most]
        for row in cells
    ]


def _padded(text: str, size: int, *, left: bool) -> str:
    shown = text
    while width(shown) > size:
        shown = shorten(text, max(1, len(shown) - 1))
    space = " " * (size - width(shown))
    return shown + space if left else space + shown


def wrapped(text: str, most: int) -> list[str]:
    """Sentences in lines of at most ``most`` characters."""
    return textwrap.wrap(text, most, break_on_hyphens=False)
