"""Small tables for notebooks, as HTML without scripts or styles from elsewhere; all text is escaped."""

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

MOST_ROWS = 20


def table(frame: "pl.DataFrame", columns: Sequence[str] = (), *, title: str = "") -> str:
    """The first rows of a frame as an HTML table, under a title; says how many there are more.

    columns: those to show, of which the frame may lack some.
    """
    shown = frame.select([name for name in columns or frame.columns if name in frame.columns])
    numeric = [kind.is_numeric() for kind in shown.dtypes]
    head = "".join(f"<th>{_text(name)}</th>" for name in shown.columns)
    body = "".join(
        "<tr>" + "".join(_cell(value, right) for value, right in zip(row, numeric, strict=True)) + "</tr>"
        for row in shown.head(MOST_ROWS).iter_rows()
    )
    caption = f"<p><b>{_text(title)}</b></p>" if title else ""
    more = len(frame) - MOST_ROWS
    rest = f"<p>and {more:,} more rows</p>" if more > 0 else ""
    return f"{caption}<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{rest}"


def line(text: str) -> str:
    """One paragraph."""
    return f"<p>{_text(text)}</p>"


def _cell(value: object, right: bool) -> str:
    text = "-" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    style = ' style="text-align:right"' if right else ""
    return f"<td{style}>{_text(text)}</td>"


def _text(text: str) -> str:
    """Escaped, and with characters that act instead of showing replaced."""
    from snql.writing.visible import visible

    return escape(visible(text))
