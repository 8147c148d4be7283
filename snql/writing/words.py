"""Numbers, counts and labels as words."""

import re
from collections.abc import Iterable, Sequence
from math import isfinite

from snql.writing.inert import visible

MOST_DIGITS = 15
"""Of a number before its point: one that is longer is written with an exponent."""


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


def number(value: float | None, *, signed: bool = False) -> str:
    """Four significant digits, with a real minus sign; a dash for None."""
    if value is None:
        return "\u2013"
    text = f"{value:+.4g}" if signed else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
    return text.replace("-", "\u2212")


def decimals(values: Iterable[float | None]) -> int:
    """Digits after the point that show the largest value of a column to three or more figures (2 to 6)."""
    largest = max((abs(value) for value in values if value is not None and isfinite(value)), default=1.0)
    places = 2
    while places < 6 and 0 < largest < 10 ** (1 - places + 1):
        places += 1
    return places


def decimal(value: float | None, places: int = 2, *, small: bool = False) -> str:
    """A rounded number with a real minus sign; ``undefined`` for None.

    One of more than MOST_DIGITS digits has an exponent; with ``small`` also one that would round to 0.
    """
    if value is None:
        return "undefined"
    shown = f"{value:.{places}f}"
    if isfinite(value) and (abs(value) >= 10**MOST_DIGITS or (small and value and not float(shown))):
        shown = exponent(value)
    return shown.replace("-", "\u2212") if float(shown) else shown.lstrip("-")


def exponent(value: float) -> str:
    """A number to three figures with its exponent: 3e-8, 1.23e300."""
    mantissa, _, power = f"{value:.2e}".partition("e")
    return f"{float(mantissa):g}e{int(power)}"


def interval(low: float | None, high: float | None, places: int = 2) -> str:
    """``[0.10, 0.30]``, empty if there is none."""
    return "" if low is None or high is None else f"[{decimal(low, places)}, {decimal(high, places)}]"


def lead_of(text: str, most: int) -> tuple[str, str]:
    """A text's first sentences, as many as have ``most`` characters together but at least one, and the rest."""
    sentences = re.split(r"(?<=[.!?]) (?=[A-Z])", text)
    taken = 1
    while taken < len(sentences) and len(" ".join(sentences[: taken + 1])) <= most:
        taken += 1
    return " ".join(sentences[:taken]), " ".join(sentences[taken:])


def slug(text: str) -> str:
    """Letters, digits and hyphens only: for ids in a page."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") or "x"
