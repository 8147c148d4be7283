"""Text where the terminal, a pipe or the locale cannot take every character, or gives what is none.

What comes in otherwise than as UTF-8 is refused. What goes out has something like it in its place, and one character
becomes one, so that tables stay straight: ``-`` for a minus sign, ``~`` for plus-minus.
"""

import codecs
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from snql.errors import SURROGATE, InputError

_NAME = "snql"
_LIKE = str.maketrans(
    {
        **dict.fromkeys("\u2212\u2013\u2014\u2010\u2011", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u2032", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u2033", '"'),
        **dict(zip("▁▂▃▄▅▆▇█", ".:-=+*%#", strict=True)),
        **dict.fromkeys("│┃║╎┆", "|"),
        **dict.fromkeys("─━═╌┄", "-"),
        **dict.fromkeys("·•∙", "."),
        "±": "~",
        "␣": "_",
        "↵": "/",
        "…": ".",
        "\u00d7": "x",
        "→": ">",
        "▲": "^",
        "≤": "<",
        "≥": ">",
        "\u00a0": " ",
    }
)


def like(text: str) -> str:
    """The text with an ASCII character for each other one."""
    return "".join(letter if letter.isascii() else _other(letter) for letter in text.translate(_LIKE))


def _other(letter: str) -> str:
    number = ord(letter)
    if 0x2500 <= number < 0x2580:  # corners and crossings of boxes
        return "+"
    if 0x2580 <= number < 0x2900 and (number < 0x25A0 or number >= 0x2800):  # blocks and Braille dots
        return "#" if number < 0x25A0 else "*"
    return "?"


def _replaced(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return like(error.object[error.start : error.end]), error.end


def make_writable() -> None:
    """Let standard output and error take every character, whatever their encoding, and also where they are closed."""
    codecs.register_error(_NAME, _replaced)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # what UTF-8 lacks is half of a pair of surrogates, as in names of files
            stream.reconfigure(errors=_NAME)


def check_given(arguments: Sequence[str]) -> None:
    """Raise InputError if an argument, or a variable of snql's, is not UTF-8: what Python reads of it is no text."""
    if any(map(SURROGATE.search, arguments)):
        raise InputError("an argument is not UTF-8: write it in that encoding")
    for name, value in os.environ.items():
        if name.startswith("SNQL_") and SURROGATE.search(f"{name}{value}"):
            raise InputError(f"the environment variable {name!r} is not UTF-8: write it in that encoding")


def standard_input(what: str) -> str:
    """All of standard input, nothing where it is closed. Raises InputError, naming ``what`` it is, if it is no text."""
    try:
        text = "" if sys.stdin is None else sys.stdin.read()
        text.encode()
    except UnicodeError as error:
        raise InputError(f"{what} is not UTF-8: save it in that encoding") from error
    return text
