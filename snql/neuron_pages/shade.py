"""How activations are shown: signs as two hues, sizes as intensity, and the text of tokens."""

from collections.abc import Sequence
from math import log1p

from snql.writing.inert import visible

HUES = {"positive": (230, 120, 0), "negative": (0, 114, 178)}
"""Orange and blue, red, green and blue between 0 and 255: told apart by colour-blind people too."""


def shade(value: float | None, scale: float) -> tuple[str, float]:
    """``positive``, ``negative`` or ``none``, and |value| / scale between 0 and 1.

    scale: what full intensity stands for. Of unknown values, and where all are 0, ``none`` and 0.
    """
    if value is None or not value or not scale:
        return "none", 0.0
    return ("positive" if value > 0 else "negative"), min(1.0, abs(value) / scale)


def token_text(text: str) -> str:
    """A token's text on one line, every character visible: a new line is ↵, and no text is ∅."""
    return visible(text.replace("\n", "↵")) or "∅"


def short_token(text: str) -> str:
    """A token's text that stands among others: an outer space is ␣."""
    shown = token_text(text)
    inner = shown.strip(" ")
    before = len(shown) - len(shown.lstrip(" "))
    return "␣" * before + inner + "␣" * (len(shown) - len(inner) - before) if inner else "␣" * len(shown)


def heights(counts: Sequence[int], *, log: bool) -> list[float]:
    """Bars between 0 and 1, of the counts or of log(1 + count)."""
    sizes = [log1p(count) if log else float(count) for count in counts]
    most = max(sizes, default=0.0)
    return [size / most if most else 0.0 for size in sizes]


def heading(measure: str, *, lowest: bool) -> str:
    """What a list of examples is."""
    if measure == "change":
        return "Largest decrease, before to after" if lowest else "Largest increase, before to after"
    return f"{'Lowest' if lowest else 'Highest'} {measure}"
