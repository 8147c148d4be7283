"""Text from models, prompts and run names, made harmless for each place it goes to; and numbers as words.

All such text is hostile. HTML is escaped by the page template; this module does the rest.
"""

import re
from collections.abc import Iterable, Sequence
from functools import partial

import polars as pl

from snql.writing.visible import visible as visible

_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "`": r"\textasciigrave{}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "\ufffd": "?",
    "\u2212": "$-$",
    "\u2026": r"\ldots{}",
}
_LETTERS = "\x00-\u017f\u2013\u2014\u2018\u2019\u201c\u201d"
_UNKNOWN = (
    "\xab\xad\xbb\xd0\xde\xf0\xfe\u0104\u0105\u0110\u0111\u0118\u0119\u0126\u0127\u012e\u012f"
    "\u0138\u013f\u0140\u0149-\u014b\u0166\u0167\u0172\u0173\u017f"
)
_OTHER = re.compile(f"(?:[^{_LETTERS}]|[{_UNKNOWN}])+")
LATEX_OTHER = r"\providecommand{\snqlother}[1]{\ifdefined\directlua #1\else\ifdefined\XeTeXversion #1\else ?\fi\fi}"
"""What :func:`latex_cell` puts letters in that pdfLaTeX does not know: it prints a question mark for them."""
_FORMULA_STARTS = ("=", "+", "-", "@")


def visible_frame(frame: pl.DataFrame, keep: str = "") -> pl.DataFrame:
    """The frame with every text column made :func:`visible`."""
    show = partial(visible, keep=keep)
    return frame.with_columns(pl.col(pl.String).map_elements(show, return_dtype=pl.String))


def csv_frame(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame as it goes into a CSV file: text visible, and none that a spreadsheet takes for a formula.

    Text that begins with = + - or @ gets an apostrophe before it; numbers are left alone.
    """
    return frame.with_columns(pl.col(pl.String).map_elements(csv_cell, return_dtype=pl.String))


def csv_cell(text: str) -> str:
    """One text cell of a CSV file, see :func:`csv_frame`."""
    shown = visible(text)
    return f"'{shown}" if shown.lstrip().startswith(_FORMULA_STARTS) else shown


def latex_cell(text: str) -> str:
    """Text as LaTeX typesets it: no command, comment, ligature or option of a line end; one line.

    Characters that have no glyph become question marks; letters that only LuaLaTeX and XeLaTeX know stand in
    ``\\snqlother``, which :data:`LATEX_OTHER` defines.
    """
    shown = re.sub("[\u2400-\u2426]", "?", visible(text))
    escaped = "".join(_LATEX.get(character, character) for character in shown)
    parted = re.sub(r"([-',])(?=\1)", r"\1{}", escaped)
    return _OTHER.sub(lambda found: f"\\snqlother{{{found[0]}}}", parted)


def shorten(text: str, length: int) -> str:
    """Text of at most ``length`` characters, with an ellipsis in the middle where it was cut."""
    if len(text) <= length:
        return text
    head = (length - 1) * 2 // 3
    return f"{text[:head]}…{text[len(text) - (length - 1 - head) :]}"


def short_labels(texts: Iterable[str], length: int = 28) -> dict[str, str]:
    """A short label for each text, different for different texts, safe to draw."""
    labels: dict[str, str] = {}
    taken: set[str] = set()
    for text in dict.fromkeys(texts):
        label, number = shorten(visible(text), length), 1
        while label in taken:
            number += 1
            label = f"{shorten(visible(text), length - 4)} ({number})"
        labels[text] = label
        taken.add(label)
    return labels


def listing(words: Sequence[str], limit: int = 8) -> str:
    """``a``, ``a and b``, ``a, b and c``; beyond ``limit`` the rest is counted."""
    items = [*words] if len(words) <= limit else [*words[:limit], f"{len(words) - limit} more"]
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}" if items else "none"


def count(number: int, noun: str, plural: str | None = None) -> str:
    """``1 run``, ``1,200 runs``."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def decimal(value: float | None, places: int = 2) -> str:
    """A rounded number with a real minus sign; ``undefined`` for None."""
    if value is None:
        return "undefined"
    shown = f"{value:.{places}f}"
    return shown.replace("-", "\u2212") if float(shown) else shown.lstrip("-")


def interval(low: float | None, high: float | None, places: int = 2) -> str:
    """``[0.10, 0.30]``, empty if there is none."""
    return "" if low is None or high is None else f"[{decimal(low, places)}, {decimal(high, places)}]"


def slug(text: str) -> str:
    """Letters, digits and hyphens only: for ids in a page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
