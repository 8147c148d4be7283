"""Tables as HTML, for notebooks (without scripts or styles from elsewhere) and for the templates of pages."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from markupsafe import Markup

from snql.writing.inert import html as inert
from snql.writing.values import short

if TYPE_CHECKING:
    import polars as pl

MOST_ROWS = 20
NUMBER = Markup(' class="number"')
"""The attribute of cells with numbers, in pages that have a style sheet."""
_RIGHT = Markup(' style="text-align:right"')


def rows(
    heads: Sequence[str], numeric: Sequence[bool], cells: Iterable[Sequence[str]], right: Markup = NUMBER
) -> Markup:
    """Head and body of a table. right: the attribute of heads and cells of the columns that are ``numeric``."""
    attributes = [right if is_number else Markup() for is_number in numeric]
    head = _row("th", [Markup(' scope="col"') + attribute for attribute in attributes], heads)
    body = Markup("\n").join(_row("td", attributes, row) for row in cells)
    return Markup("<thead>{}</thead>\n<tbody>\n{}\n</tbody>").format(head, body)


def _row(tag: str, attributes: Sequence[Markup], cells: Sequence[str]) -> Markup:
    pairs = zip(attributes, cells, strict=True)
    inside = Markup().join(Markup("<{0}{1}>{2}</{0}>").format(tag, attribute, inert(cell)) for attribute, cell in pairs)
    return Markup("<tr>{}</tr>").format(inside)


def table(frame: "pl.DataFrame", columns: Sequence[str] = (), *, title: str = "") -> str:
    """The first rows of a frame as an HTML table, under a title; says how many there are more.

    columns: those to show, of which the frame may lack some.
    """
    shown = frame.select([name for name in columns or frame.columns if name in frame.columns])
    numeric = [kind.is_numeric() for kind in shown.dtypes]
    cells = ([short(value) for value in row] for row in shown.head(MOST_ROWS).iter_rows())
    caption = f"<p><b>{inert(title)}</b></p>" if title else ""
    more = len(frame) - MOST_ROWS
    rest = line(f"and {more:,} more rows") if more > 0 else ""
    return f"{caption}<table>{rows(shown.columns, numeric, cells, _RIGHT)}</table>{rest}"


def line(text: str) -> str:
    """One paragraph."""
    return f"<p>{inert(text)}</p>"
