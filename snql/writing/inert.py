"""Text from models, prompts and run names made inert: one rule for each place that text goes to.

All such text is hostile, and each writer of this package puts every cell, head and title through the rule of its
format. In all of them the text shows, on the page or the screen, and does nothing.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

if TYPE_CHECKING:
    import polars as pl

_JOINERS = "\u200c\u200d\u00ad"
_EMPTY = "\u115f\u1160\u3164\uffa0\u2800"
"""Letters and a symbol that look like a space."""
_FORMULA_STARTS = "=+-@\uff1d\uff0b\uff0d\uff20"
_ENTITIES = {character: f"&#{ord(character)};" for character in "[]$@"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_ESCAPED = "\\`*_~|"
_ADDRESS = re.compile(r"(?<=\w):(?=//)|(?<=www)\.", re.IGNORECASE)
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
"""What :func:`latex` puts letters in that pdfLaTeX does not know: it prints a question mark for them."""


def visible(text: str, keep: str = "") -> str:
    """Replace characters that act instead of showing, except those in ``keep``: the rule of terminals and charts.

    Control characters become their picture (escape becomes ␛), line separators ␤, and characters that reorder
    text, are unassigned or half of a surrogate pair become U+FFFD.
    """
    if text.isprintable():  # no character of the kinds that are replaced
        return text
    return "".join(character if character in keep else _shown(character) for character in text)


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category == "Cc":
        code = ord(character)
        return chr(0x2400 + code) if code < 0x20 else "␡" if code == 0x7F else "\ufffd"
    if category in ("Zl", "Zp"):
        return "␤"
    if category in ("Cs", "Cn", "Co") or (category == "Cf" and character not in _JOINERS):
        return "\ufffd"
    return character


def separated(text: str) -> str:
    """Text for CSV and TSV: visible but for tabs and line ends, and none that a spreadsheet takes for a formula.

    Where the first character that shows is = + - or @ (also of full width), an apostrophe stands before the text.
    """
    shown = visible(text, keep="\t\n")
    first = next((character for character in text if not _blank(character)), "")
    return f"'{shown}" if first and first in _FORMULA_STARTS else shown


def _blank(character: str) -> bool:
    """Whether it leaves no mark: spaces, control and format characters, marks on nothing."""
    return character in _EMPTY or unicodedata.category(character)[0] in "CMZ"


def html(text: str) -> Markup:
    """Text for HTML, in an element or in an attribute with quotes; its line ends stay."""
    return escape(visible(text, keep="\n"))


def markdown(text: str) -> str:
    """Text for a cell or a line of Markdown: no link, image, emphasis, code, formula, cell border or HTML."""
    shown = "".join(
        f"\\{character}" if character in _ESCAPED else _ENTITIES.get(character, character)
        for character in visible(text, keep="\n")
    )
    return _ADDRESS.sub(lambda found: f"&#{ord(found[0])};", shown).replace("\n", "<br>")


def latex(text: str) -> str:
    """Text for LaTeX: no command, comment, ligature or option of a line end; one line.

    Characters that have no glyph become question marks; letters that only LuaLaTeX and XeLaTeX know stand in
    ``\\snqlother``, which :data:`LATEX_OTHER` defines.
    """
    shown = re.sub("[\u2400-\u2426]", "?", visible(text))
    escaped = "".join(_LATEX.get(character, character) for character in shown)
    parted = re.sub(r"([-',])(?=\1)", r"\1{}", escaped)
    return _OTHER.sub(lambda found: f"\\snqlother{{{found[0]}}}", parted)


def frame(rows: "pl.DataFrame", rule: Callable[[str], str]) -> "pl.DataFrame":
    """The frame with all its text put through a rule."""
    import polars as pl

    return rows.with_columns(pl.col(pl.String).map_elements(rule, return_dtype=pl.String))


def visible_frame(rows: "pl.DataFrame", keep: str = "") -> "pl.DataFrame":
    """The frame with every text column made :func:`visible`."""
    return frame(rows, partial(visible, keep=keep))
