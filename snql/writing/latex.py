r"""Tables as LaTeX: booktabs rules, numbers in siunitx's S columns, and pages broken by longtable.

A table of a report is never scaled: text is set in lines of a width that fits, and where that is not enough the columns
are split into parts below each other. Widths are estimated from the letters, in points at ``\small``.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from math import isfinite
from typing import Any, BinaryIO

from snql.writing.inert import LATEX_OTHER, visible
from snql.writing.inert import latex as inert
from snql.writing.layout import Block, Cell, Column, Estimate, Interval, Number
from snql.writing.rows import Source
from snql.writing.values import exact
from snql.writing.words import MOST_DIGITS, count, decimals, exponent

TEXT_WIDTH = 345.0
"""Points: what LaTeX's own article has at 10 pt, the narrowest of the usual classes."""
MAX_ROWS = 250
MAX_CAPTION = 1600
"""Letters: what fits a page with a table, and less than what LaTeX refuses to set (about 3,400)."""
_NARROWEST = 20.0
_NARROWEST_TEXT = 44.0
_MOST_HEAD = 40.0
"""A head of a number's column is not wider than this for its own sake."""
_HEADING = 240.0
_SEPARATION = 6.0
_WIDE = dict.fromkeys("mwMW@%&+<>=~\u2013\u2212", 7.4) | dict.fromkeys("ijl.,:;'|!/()[] -", 2.8)
_TINY = 0.8
_WORD = 16
"""The longest word of a caption or heading that has no places to break."""
_NUMBER = re.compile(r"(?P<sign>-?)(?P<whole>\d+)\.?(?P<part>\d*)(?:e(?P<minus>-?)(?P<power>\d+))?")
_SPECIAL = {"NaN": "{NaN}", "inf": r"{$\infty$}", "-inf": r"{$-\infty$}"}
"""What siunitx does not read."""
_POWER, _NUM = re.compile(r"-?[\d.]+e-?\d+"), r"\\num{\g<0>}"
_NEEDS = "% Needs \\usepackage{booktabs} and \\usepackage{siunitx}; letters beyond Latin need LuaLaTeX or XeLaTeX.\n"
_HEAD = rf"""
% Needs \usepackage{{booktabs}}, \usepackage{{longtable}} and \usepackage{{siunitx}}. Include it with \input where the
% table should stand: caption and label are inside. In a text of two columns it gets pages of its own. Letters beyond
% Latin need LuaLaTeX or XeLaTeX.
{LATEX_OTHER}
\providecommand{{\snqlwords}}{{\hyphenpenalty=10000\exhyphenpenalty=10000\arraybackslash}}
\providecommand{{\snqlhead}}[3]{{\parbox[b]{{#2}}{{#1\snqlwords #3}}}}
\makeatletter\let\snqlafter\relax\if@twocolumn\onecolumn\let\snqlafter\twocolumn\fi\makeatother
\begingroup\small\setlength{{\tabcolsep}}{{3pt}}\setlength{{\LTcapwidth}}{{\linewidth}}\emergencystretch=3em
"""


def write(source: Source, sink: BinaryIO) -> None:
    """Write the rows as a ``tabular``: missing numbers are dashes, the others keep two figures or more."""
    found = source.rows()
    values = list(zip(*found.values, strict=True)) or [()] * len(found.columns)
    columns = [_exact(cells) if right else _texts(cells) for cells, right in zip(values, found.numeric, strict=True)]
    lines = [
        f"\\begin{{tabular}}{{{' '.join(kind for kind, _ in columns)}}}",
        "\\toprule",
        _row(f"{{{inert(name)}}}" for name in found.columns),
        "\\midrule",
        *map(_row, zip(*(cells for _, cells in columns), strict=True)),
        "\\bottomrule",
        "\\end{tabular}",
    ]
    sink.write((_NEEDS + "\n".join(lines) + "\n").encode())


def _row(cells: Iterable[str]) -> str:
    return f"{' & '.join(cells)} \\\\"


def _texts(values: Sequence[Any]) -> tuple[str, list[str]]:
    return "l", ["--" if value is None else inert(exact(value)) for value in values]


def _exact(values: Sequence[Any]) -> tuple[str, list[str]]:
    """A column of numbers and its kind."""
    places = decimals(value for value in values if isinstance(value, float))
    cells = [_number(value, places) for value in values]
    return _s_column(cells), cells


def _number(value: float | Decimal | None, places: int) -> str:
    """A number as siunitx reads it, with an exponent where ``places`` after the point do not show two figures of it."""
    if value is None:
        return "{--}"
    if not isinstance(value, float):
        return f"{value:f}" if isinstance(value, Decimal) else str(value)
    if not isfinite(value):
        return _SPECIAL[exact(value)]
    if value and not 10.0 ** (1 - places) <= abs(value) < 10**MOST_DIGITS:
        return exponent(value)
    return f"{value:.{places}f}"


def _s_column(cells: Iterable[str]) -> str:
    """An S column as wide as the widest number, sign and exponent included."""
    found = [match.groupdict(default="") for match in map(_NUMBER.fullmatch, cells) if match]
    sizes = {
        name: max((len(parts[name]) for parts in found), default=int(name == "whole")) for name in _NUMBER.groupindex
    }
    whole = "-" * sizes["sign"] + str(sizes["whole"])
    part = f".{sizes['part']}" if sizes["part"] else ""
    power = "e" + "-" * sizes["minus"] + str(sizes["power"]) if sizes["power"] else ""
    return f"S[table-format={whole}{part}{power}]"


def breaking(text: str, longest: int = _WORD) -> str:
    """Text for LaTeX with places where a line may end in words of more than ``longest`` letters, such as long names."""
    return " ".join(_broken(word, longest) for word in re.sub("[\u2400-\u2426]", "?", visible(text)).split(" "))


def _broken(word: str, longest: int) -> str:
    if len(word) <= longest:
        return inert(word)
    pieces = re.findall(rf"[^-/+:_=@)&|>]{{1,{longest}}}[-/+:_=@)&|>]*|[-/+:_=@)&|>]{{1,{longest}}}", word)
    return "\\allowbreak{}".join(inert(piece) for piece in pieces)


def _narrow(text: str, width: float) -> str:
    """Text for a column of this width."""
    return breaking(text, max(3, int(width / 5.6)))


def bounded(caption: str, rest: str) -> str:
    """A caption that LaTeX can set: one that is too long ends in ``rest``, which says where all of it is."""
    return caption if len(caption) <= MAX_CAPTION else f"{caption[: MAX_CAPTION - 200].rstrip()}\u2026 {rest}"


def document(name: str, title: str, caption: str, blocks: Sequence[Block]) -> str:
    """The file of one table: comments, then its blocks below each other, with one caption and label."""
    shown = _first_rows(blocks)
    words = bounded(caption, f"The full caption is in table-{name}.md.")
    if left_out := _n_rows(blocks) - _n_rows(shown):
        words = f"{words} {count(left_out, 'more row')} in the CSV file."
    named = f"\\caption[{inert(title)}]{{{inert(title)}. {breaking(words)}}}\\label{{tab:{name}}} \\\\"
    parts = [part for block in shown for part in _parts(block)]
    tables = [_longtable(part, "" if place else named) for place, part in enumerate(parts)]
    # A longtable counts as a table, also where it has no caption.
    body = "\\addtocounter{table}{-1}%\n".join(tables)
    return f"% {visible(title)}{_HEAD}{body}\\endgroup\\snqlafter\n"


def _n_rows(blocks: Sequence[Block]) -> int:
    return sum(len(group.rows) for block in blocks for group in block.groups)


def _first_rows(blocks: Sequence[Block]) -> list[Block]:
    """The blocks with MAX_ROWS rows in all."""
    left, kept = MAX_ROWS, []
    for block in blocks:
        groups = []
        for group in block.groups:
            groups.append(replace(group, rows=group.rows[:left]))
            left -= len(groups[-1].rows)
        kept.append(block.with_groups([group for group in groups if group.rows]))
    return [block for block in kept if block.groups]


def _parts(block: Block) -> Iterator[Block]:
    """The block, or as many parts of it with some of its columns each as make it fit the page."""
    least = [_SEPARATION + _least(block, place) for place in range(len(block.columns))]
    labels = list(range(block.n_labels))
    chunk: list[int] = []
    for unit in _units(block):
        if chunk and sum(least[place] for place in (*labels, *chunk, *unit)) > TEXT_WIDTH + _SEPARATION:
            yield _part(block, [*labels, *chunk])
            chunk = []
        chunk += unit
    yield _part(block, [*labels, *chunk])


def _units(block: Block) -> list[list[int]]:
    """The columns after the labels; those of one group stay together."""
    units: list[list[int]] = []
    for place in range(block.n_labels, len(block.columns)):
        group = block.columns[place].group
        if units and group and group == block.columns[units[-1][0]].group:
            units[-1].append(place)
        else:
            units.append([place])
    return units


def _part(block: Block, places: Sequence[int]) -> Block:
    """The block with these columns only, without the groups that have nothing in them."""
    part = block.with_columns(places)
    return part.with_groups(
        [
            group
            for group in part.groups
            if any(cell is not None for row in group.rows for cell in row[block.n_labels :])
        ]
    )


def text_width(text: str) -> float:
    """About how wide text is, in points at 9 pt."""
    return sum(_WIDE.get(letter, 6.6 if letter.isupper() or ord(letter) > 0x17F else 4.75) for letter in text)


def _cell_width(cell: Cell) -> float:
    if isinstance(cell, Estimate):
        return max(_cell_width(cell.number), _TINY * _cell_width(cell.interval))
    if isinstance(cell, Number | Interval):
        return text_width(cell.text()) + 2
    return max(text_width(line) for line in (cell or "").split("\n"))


def _natural(block: Block, place: int) -> float:
    """The width that a column wants."""
    column = block.columns[place]
    head = max(text_width(column.head), text_width(column.note))
    cells = (_cell_width(row[place]) for group in block.groups for row in group.rows)
    return max([_NARROWEST, head if column.kind == "text" else min(head, _MOST_HEAD), *cells])


def _least(block: Block, place: int) -> float:
    """The width that a column needs."""
    natural = _natural(block, place)
    return min(natural, _NARROWEST_TEXT) if block.columns[place].kind == "text" else natural


def _widths(block: Block) -> list[float]:
    """The widths of the columns; those of text have what they want, or an equal share of what is left if it is less."""
    widths = [_natural(block, place) for place in range(len(block.columns))]
    texts = [place for place, column in enumerate(block.columns) if column.kind == "text"]
    left = TEXT_WIDTH + sum(widths[place] for place in texts) - sum(widths) - _SEPARATION * (len(widths) - 1)
    for done, place in enumerate(sorted(texts, key=widths.__getitem__)):
        widths[place] = min(widths[place] * 1.08 + 1, left / (len(texts) - done))
        left -= widths[place]
    if texts:  # the headings of groups need few lines in a wide table
        wanted = min(_HEADING, max((text_width(group.head) for group in block.groups), default=0.0))
        widths[texts[0]] += max(0.0, min(left, wanted - (TEXT_WIDTH - left)))
    return widths


def _longtable(block: Block, named: str) -> str:
    """One block, its heads on every page that it takes. named: caption and label above its first heads, if any."""
    widths = _widths(block)
    full = min(TEXT_WIDTH, sum(widths) + _SEPARATION * (len(widths) - 1))
    heads = [
        *([_heading(block.head, block, full)] if block.head else []),
        "\\toprule",
        *_shared(block, widths),
        _row(_head(column, width) for column, width in zip(block.columns, widths, strict=True)),
        "\\midrule",
    ]
    lines = [named, *heads, "\\endfirsthead", *heads] if named else heads
    kinds = " ".join(_kind(block, place, width) for place, width in enumerate(widths))
    body: list[str] = []
    for group in block.groups:
        body += ["\\addlinespace"] if body else []
        body += [_heading(group.head, block, full)] if group.head else []
        body += [line for row in group.rows for line in _rows(row, widths)]
    lines = [*lines, "\\endhead", "\\bottomrule", "\\endfoot", *body]
    return "\n".join([f"\\begin{{longtable}}{{@{{}}{kinds}@{{}}}}", *lines, "\\end{longtable}", ""])


def _heading(text: str, block: Block, width: float) -> str:
    """A line over all columns, on the page of what is below it."""
    column = f"@{{}}>{{\\raggedright\\snqlwords}}p{{{width:.0f}pt}}@{{}}"
    return f"\\multicolumn{{{len(block.columns)}}}{{{column}}}{{\\emph{{{breaking(text)}}}}} \\\\*"


def _kind(block: Block, place: int, width: float) -> str:
    kind = block.columns[place].kind
    if kind == "text":
        return f">{{\\raggedright\\snqlwords}}p{{{width:.1f}pt}}"
    if kind == "interval":
        return "r"
    return _s_column(_lines(row[place], width)[0] for group in block.groups for row in group.rows)


def _head(column: Column, width: float) -> str:
    words = _narrow(column.head, width) + (f"\\par {_narrow(column.note, width)}" if column.note else "")
    shape = "\\raggedright" if column.kind == "text" else "\\centering"
    return f"{{\\snqlhead{{{shape}}}{{{width:.1f}pt}}{{{words}}}}}"


def _shared(block: Block, widths: Sequence[float]) -> list[str]:
    """The row of heads that several columns share."""
    if not any(column.group for column in block.columns):
        return []
    cells, rules = [""] * block.n_labels, ""
    for unit in _units(block):
        group = block.columns[unit[0]].group
        width = sum(widths[place] for place in unit) + _SEPARATION * (len(unit) - 1)
        end = "@{}" if unit[-1] == len(widths) - 1 else ""
        words = f"\\snqlhead{{\\centering}}{{{width:.1f}pt}}{{{_narrow(group, width)}}}"
        cells.append(f"\\multicolumn{{{len(unit)}}}{{c{end}}}{{{words}}}" if group else "")
        rules += f"\\cmidrule(lr){{{unit[0] + 1}-{unit[-1] + 1}}}" if group else ""
    return [_row(cells), rules]


def _rows(cells: Sequence[Cell], widths: Sequence[float]) -> list[str]:
    """One row, or two where estimates have their intervals below them."""
    if not any(isinstance(cell, Estimate) for cell in cells):
        cells = [cell.replace("\n", " ") if isinstance(cell, str) else cell for cell in cells]
        return [_row(_lines(cell, width)[0] for cell, width in zip(cells, widths, strict=True))]
    first, second = zip(*map(_lines, cells, widths), strict=True)
    return [f"{_row(first)}*", f"{_row(second)}[2pt]"]


def _lines(cell: Cell, width: float) -> tuple[str, str]:
    """What stands in the first row of a cell, and in its second if it has one."""
    if isinstance(cell, str):
        upper, _, lower = cell.partition("\n")
        return _narrow(upper, width), _narrow(lower, width)
    if isinstance(cell, Estimate):
        below = _interval(cell.interval)
        return _lines(cell.number, width)[0], below if below == "{}" else f"{{\\scriptsize {below}}}"
    if isinstance(cell, Interval):
        return _interval(cell), "{}"
    return "{}" if cell is None else _rounded(cell), "{}"


def _rounded(number: Number) -> str:
    if number.value is None:
        return "{--}"
    return number.text().replace("\u2212", "-") if isfinite(number.value) else _SPECIAL[exact(number.value)]


def _interval(interval: Interval) -> str:
    text = interval.text().replace("\u2212", "-").replace(", ", ",\\,")
    return f"${_POWER.sub(_NUM, text)}$" if text else "{}"
