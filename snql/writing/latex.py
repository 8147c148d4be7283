"""Tables as LaTeX: booktabs rules, numbers aligned on the decimal point by siunitx."""

import polars as pl

from snql.writing.words import latex_cell, visible

_MISSING = "{--}"
_PREAMBLE = """\
% Needs \\usepackage{booktabs} and \\usepackage{siunitx}; letters beyond Latin need LuaLaTeX or XeLaTeX.
"""


def tabular(frame: pl.DataFrame) -> str:
    """A frame as a ``tabular``; text is escaped and a missing number is a dash."""
    columns = [_column(frame[name]) for name in frame.columns]
    heads = " & ".join(f"{{{latex_cell(name)}}}" for name in frame.columns)
    rows = [" & ".join(cells) for cells in zip(*(cells for _, cells in columns), strict=True)]
    lines = [
        f"\\begin{{tabular}}{{{' '.join(kind for kind, _ in columns)}}}",
        "\\toprule",
        f"{heads} \\\\",
        "\\midrule",
        *(f"{row} \\\\" for row in rows),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    return _PREAMBLE + "\n".join(lines) + "\n"


def commented(text: str) -> str:
    """Text as one LaTeX comment line."""
    return f"% {visible(text)}\n"


def _column(values: pl.Series) -> tuple[str, list[str]]:
    """The column's type and its cells."""
    if values.dtype.is_float():
        places = decimals(values)
        cells = [_MISSING if value is None else f"{value:.{places}f}" for value in values]
        return _number_format(cells), cells
    if values.dtype.is_integer():
        cells = [_MISSING if value is None else str(value) for value in values]
        return _number_format(cells), cells
    return "l", ["--" if value is None else latex_cell(str(value)) for value in values]


def decimals(values: pl.Series) -> int:
    """Digits after the point that show the largest value of a column to three or more figures (2 to 6)."""
    largest = max((abs(value) for value in values.drop_nulls()), default=1.0)
    places = 2
    while places < 6 and 0 < largest < 10 ** (1 - places + 1):
        places += 1
    return places


def _number_format(cells: list[str]) -> str:
    """An S column as wide as the widest number, sign included."""
    numbers = [cell for cell in cells if cell != _MISSING] or ["0"]
    whole = max(len(number.lstrip("-").partition(".")[0]) for number in numbers)
    part = max(len(number.partition(".")[2]) for number in numbers)
    sign = "-" if any(number.startswith("-") for number in numbers) else ""
    return f"S[table-format={sign}{whole}{f'.{part}' if part else ''}]"
