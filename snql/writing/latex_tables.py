r"""Whole LaTeX tables, with caption and label, no wider than the page.

Numbers stand in siunitx's S columns. A table that is too wide gets narrower by its columns: first text is set in
lines of a width that fits, then the columns are split into parts below each other; type is never scaled. A table that
is too long goes on in another ``table``. Widths are estimated from the letters, in points at ``\small``.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snql.writing.layout import Block, Cell, Estimate, Group, Interval, Number
from snql.writing.words import LATEX_OTHER, count, latex_cell, visible

TEXT_WIDTH = 345.0
"""Points: what LaTeX's own article has at 10 pt, the narrowest of the usual classes."""
MAX_LINES = 46
"""Lines of one ``table``, caption included, so that it fits a page of LaTeX's own article."""
MAX_PARTS = 6
MAX_CAPTION = 1600
"""Letters: what fits a page with a table, and less than what LaTeX refuses to set (about 3,400)."""
_MIN_TEXT = 44.0
_MIN_HEAD = 40.0
_SEPARATION = 6.0
_HEADING = 240.0
_DIGIT = 4.7
_GAP = 5.0
"""More space before columns that have a head together."""
_NUMERIC = {".": 2.7, ",": 2.7, "[": 2.7, "]": 2.7, " ": 1.6, "\u2212": 7.3}
_TINY = 0.8
_WIDE = dict.fromkeys("mwMW@%&+<>=~\u2013", 7.4) | dict.fromkeys("ijl.,:;'|!/()[] -", 2.8)
_WORD = 16
"""The longest word of a caption or heading that has no places to break."""
_HEAD = rf"""
% Needs \usepackage{{booktabs}} and \usepackage{{siunitx}}. Include it with \input where the table should stand: caption
% and label are inside. Letters beyond Latin need LuaLaTeX or XeLaTeX and a font that has them.
{LATEX_OTHER}
\providecommand{{\snqlragged}}{{\raggedright\hyphenpenalty=10000\exhyphenpenalty=10000\arraybackslash}}
\providecommand{{\snqlcentred}}{{\centering\hyphenpenalty=10000\exhyphenpenalty=10000\arraybackslash}}
"""


def breaking(text: str, longest: int = _WORD) -> str:
    """Text for LaTeX with places where a line may end in words of more than ``longest`` letters, such as long names."""
    shown = re.sub("[\u2400-\u2426]", "?", visible(text))
    return " ".join(_broken(word, longest) for word in shown.split(" "))


def bounded(caption: str, rest: str) -> str:
    """A caption that LaTeX can set: one that is too long ends in ``rest``, which says where all of it is."""
    return caption if len(caption) <= MAX_CAPTION else f"{caption[: MAX_CAPTION - 200].rstrip()}\u2026 {rest}"


def _broken(word: str, longest: int) -> str:
    if len(word) <= longest:
        return latex_cell(word)
    pieces = re.findall(rf"[^-/+:_=@)&|>]{{1,{longest}}}[-/+:_=@)&|>]*|[-/+:_=@)&|>]{{1,{longest}}}", word)
    return "\\allowbreak{}".join(latex_cell(piece) for piece in pieces)


def _narrow(text: str, width: float) -> str:
    """Text for a column of this width."""
    return breaking(text, max(3, int(width / 5.6)))


def environment(name: str, title: str, caption: str, blocks: Sequence[Block]) -> str:
    """The file of one table: comments, then one ``table`` for each page it needs."""
    fitted = [part for block in blocks for part in _fitted(block)]
    caption = bounded(caption, f"The full caption is in table-{name}.md.")
    pages = _pages(fitted, len(caption))
    left_out = sum(_n_rows(block) for page in pages[MAX_PARTS:] for block in page)
    if left_out:
        caption = f"{caption} {count(left_out, 'more row')} in the CSV file."
    shown = pages[:MAX_PARTS]
    tables = [_table(name, title, caption, page, place, len(shown)) for place, page in enumerate(shown, start=1)]
    return f"% {visible(title)}{_HEAD}" + "\n".join(tables)


def _table(name: str, title: str, caption: str, page: Sequence[Block], place: int, n_places: int) -> str:
    part = f" (part {place} of {n_places})" if n_places > 1 else ""
    words = f"{latex_cell(title)}{part}." + (f" {breaking(caption)}" if place == 1 else "")
    label = f"tab:{name}" + (f"-{place}" if place > 1 else "")
    bodies = "\n\\par\\medskip\n".join(_tabular(block) for block in page)
    return (
        "\\begin{table}[tbp]\n\\centering\\small\\setlength{\\tabcolsep}{3pt}\\emergencystretch=3em\n"
        f"\\caption[{latex_cell(title)}{part}]{{{words}}}\n\\label{{{label}}}\n\\par\\smallskip\n"
        f"{bodies}\n\\end{{table}}\n"
    )


@dataclass(frozen=True)
class _Width:
    """The width of a column in points, and the narrowest it can be."""

    natural: float
    least: float


def text_width(text: str) -> float:
    """About how wide text is, in points at 9 pt."""
    return sum(_WIDE.get(letter, 6.6 if letter.isupper() or ord(letter) > 0x17F else 4.75) for letter in text)


def _width(block: Block, place: int) -> _Width:
    column = block.columns[place]
    cells = [row[place] for group in block.groups for row in group.rows]
    head = max(text_width(column.head), text_width(column.note))
    if column.kind == "text":
        gap = _GAP if _opens(block, place) else 0
        natural = gap + max([head, *(text_width(line) for cell in cells for line in str(cell or "").split("\n"))])
        return _Width(natural, min(natural, _MIN_TEXT))
    numbers = max([_cell_width(cell) for cell in cells], default=0.0)
    wide = max(numbers, min(head, _MIN_HEAD)) + (_GAP if _opens(block, place) else 0)
    return _Width(wide, wide)


def _opens(block: Block, place: int) -> bool:
    """Whether a column is the first of a group with other columns before it."""
    group = block.columns[place].group
    return bool(group) and place > block.n_labels and block.columns[place - 1].group != group


def _cell_width(cell: Cell) -> float:
    if isinstance(cell, Estimate):
        return max(_cell_width(cell.number), _TINY * _cell_width(cell.interval))
    if isinstance(cell, Number | Interval):
        return sum(_NUMERIC.get(letter, _DIGIT) for letter in cell.text()) + (4 if isinstance(cell, Interval) else 2)
    return text_width(str(cell or ""))


def _fitted(block: Block) -> Iterator[Block]:
    """The block, or as many parts of it with some of its columns each as make it fit the page."""
    widths = [_width(block, place) for place in range(len(block.columns))]
    labels = list(range(block.n_labels))
    chunk: list[int] = []
    for unit in _units(block):
        wanted = [*labels, *chunk, *unit]
        if chunk and sum(widths[place].least + _SEPARATION for place in wanted) > TEXT_WIDTH:
            yield _without_empty(block.with_columns([*labels, *chunk]))
            chunk = []
        chunk += unit
    yield _without_empty(block.with_columns([*labels, *chunk]))


def _without_empty(block: Block) -> Block:
    """The block without the groups that have nothing in these columns."""
    measured = [
        group for group in block.groups if any(cell is not None for row in group.rows for cell in row[block.n_labels :])
    ]
    return block.with_groups(measured)


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


def _pages(blocks: Sequence[Block], n_caption: int) -> list[list[Block]]:
    """Blocks by page; one that is longer than what is left of a page goes on, group by group, on the next.

    The first page also holds a caption of ``n_caption`` letters.
    """
    pages: list[list[Block]] = [[]]
    left = MAX_LINES - 1.2 * (n_caption // 85)
    for block in blocks:
        widths, heads = _text_widths(block), _head_lines(block)
        for group in (piece for whole in block.groups for piece in _pieces(whole, widths)):
            same = bool(pages[-1]) and pages[-1][-1].columns == block.columns and pages[-1][-1].head == block.head
            lines = _n_lines(group, widths)
            if pages[-1] and lines + (0 if same else heads) > left:
                pages.append([])
                left, same = MAX_LINES, False
            left -= lines + (0 if same else heads)
            if same:
                pages[-1][-1] = pages[-1][-1].with_groups([*pages[-1][-1].groups, group])
            else:
                pages[-1].append(block.with_groups([group]))
    return pages


def _head_lines(block: Block) -> float:
    """Lines that the heads of a block take, its own heading and the space around it included."""
    widths = _text_widths(block)
    folds = (_n_folds(column.head, _column_width(block, place, widths)) for place, column in enumerate(block.columns))
    notes = (_n_folds(column.note, _MIN_HEAD) for column in block.columns if column.note)
    return 3 + max(folds) + max(notes, default=0) + bool(block.head)


def _pieces(group: Group, widths: dict[int, float]) -> Iterator[Group]:
    """A group that is longer than a page in pieces."""
    rows: list[tuple[Cell, ...]] = []
    for row in group.rows:
        if rows and _n_lines(Group(group.head, (*rows, row)), widths) > MAX_LINES - 14:
            yield Group(group.head, tuple(rows))
            rows = []
        rows.append(row)
    yield Group(group.head, tuple(rows))


def _n_lines(group: Group, widths: dict[int, float]) -> float:
    """Lines of a group as they are set, with the text that is folded and the space before it."""
    return sum(_row_lines(row, widths) for row in group.rows) + _n_folds(group.head, 0.8 * TEXT_WIDTH) + 0.5


def _row_lines(row: Sequence[Cell], widths: dict[int, float]) -> float:
    texts = [(cell.split("\n"), widths[place]) for place, cell in enumerate(row) if isinstance(cell, str)]
    folds = [sum(_n_folds(line, width) for line in lines) for lines, width in texts]
    return max([2.2 if any(isinstance(cell, Estimate) for cell in row) else 1, *folds])


def _n_folds(text: str, width: float) -> int:
    """Lines of text in a column; words that do not fill it leave some of it empty."""
    natural = text_width(text)
    return 1 + int(1.2 * natural // width) if natural > width else 1


def _n_rows(block: Block) -> int:
    return sum(len(group.rows) for group in block.groups)


def _tabular(block: Block) -> str:
    """One ``tabular`` with its heading."""
    widths = _text_widths(block)
    kinds = [_kind(block, place, widths.get(place)) for place in range(len(block.columns))]
    full = min(TEXT_WIDTH, _total(block, widths))
    lines = [
        *([f"\\emph{{{breaking(block.head)}}}\\par\\nopagebreak\\smallskip"] if block.head else []),
        f"\\begin{{tabular}}{{@{{}}{' '.join(kinds)}@{{}}}}",
        "\\toprule",
        *_heads(block, widths),
        "\\midrule",
    ]
    for place, group in enumerate(block.groups):
        lines += ["\\addlinespace"] if place else []
        if group.head:
            column = f"@{{}}>{{\\snqlragged}}p{{{full:.0f}pt}}@{{}}"
            lines.append(f"\\multicolumn{{{len(kinds)}}}{{{column}}}{{\\emph{{{breaking(group.head)}}}}} \\\\")
        lines += [line for row in group.rows for line in _row(row, widths)]
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}"])


def _total(block: Block, text: dict[int, float]) -> float:
    wide = sum(_column_width(block, place, text) for place in range(len(block.columns)))
    return wide + _SEPARATION * (len(block.columns) - 1)


def _text_widths(block: Block) -> dict[int, float]:
    """The widths of the text columns: what they want, or an equal share of what is left where that is less."""
    widths = [_width(block, place) for place in range(len(block.columns))]
    places = [place for place, column in enumerate(block.columns) if column.kind == "text"]
    numbers = sum(width.natural for place, width in enumerate(widths) if place not in places)
    left = TEXT_WIDTH - numbers - _SEPARATION * (len(widths) - 1)
    given: dict[int, float] = {}
    for number, place in enumerate(sorted(places, key=lambda place: widths[place].natural)):
        given[place] = min(widths[place].natural * 1.08 + 1, left / (len(places) - number))
        left -= given[place]
    if places:
        given[places[0]] += min(max(left, 0), max(0.0, _wanted(block) - (TEXT_WIDTH - left)))
    return given


def _wanted(block: Block) -> float:
    """The width at which the headings of groups need few lines."""
    return min(_HEADING, max((text_width(group.head) for group in block.groups), default=0.0))


def _kind(block: Block, place: int, width: float | None) -> str:
    return (f"!{{\\hspace{{{_GAP:g}pt}}}}" if _opens(block, place) else "") + _bare_kind(block, place, width)


def _bare_kind(block: Block, place: int, width: float | None) -> str:
    kind = block.columns[place].kind
    if width is not None:
        gap = _GAP if _opens(block, place) else 0
        return f">{{\\snqlragged}}p{{{max(width, 20) - gap:.1f}pt}}"
    return "r" if kind == "interval" else _format([row[place] for group in block.groups for row in group.rows])


def _format(cells: Sequence[Cell]) -> str:
    """An S column as wide as the widest number, sign included."""
    numbers = [cell.number if isinstance(cell, Estimate) else cell for cell in cells]
    texts = [_plain(cell) for cell in numbers if isinstance(cell, Number) and cell.value is not None] or ["0"]
    whole = max(len(text.lstrip("-").partition(".")[0]) for text in texts)
    places = max(len(text.partition(".")[2]) for text in texts)
    sign = "-" if any(text.startswith("-") for text in texts) else ""
    return f"S[table-format={sign}{whole}{f'.{places}' if places else ''}]"


def _plain(number: Number) -> str:
    return number.text().replace("\u2212", "-")


def _heads(block: Block, widths: dict[int, float]) -> list[str]:
    """The row of heads, below the row of those that several columns share."""
    heads = [_head(block, place, _column_width(block, place, widths)) for place in range(len(block.columns))]
    return [*_shared(block, widths), " & ".join(heads) + " \\\\"]


def _column_width(block: Block, place: int, text: dict[int, float]) -> float:
    return max(text.get(place) or _width(block, place).natural, 20)


def _head(block: Block, place: int, width: float) -> str:
    column = block.columns[place]
    gap = _GAP if _opens(block, place) else 0
    words = _narrow(column.head, width - gap)
    words += f"\\par {_narrow(column.note, width)}" if column.note else ""
    return _spanning(block, [place], "ragged" if column.kind == "text" else "centred", width - gap, words)


def _spanning(block: Block, places: Sequence[int], shape: str, width: float, words: str) -> str:
    """A cell over some columns, with the space that they have at their sides."""
    left = "@{}" if places[0] == 0 else f"!{{\\hspace{{{_GAP:g}pt}}}}" if _opens(block, places[0]) else ""
    right = "@{}" if places[-1] == len(block.columns) - 1 else ""
    return f"\\multicolumn{{{len(places)}}}{{{left}>{{\\snql{shape}}}b{{{width:.1f}pt}}{right}}}{{{words}}}"


def _shared(block: Block, widths: dict[int, float]) -> list[str]:
    if not any(column.group for column in block.columns):
        return []
    cells, rules = [""] * block.n_labels, ""
    for unit in _units(block):
        group = block.columns[unit[0]].group
        total = sum(_column_width(block, place, widths) for place in unit) + _SEPARATION * (len(unit) - 1)
        total -= _GAP if _opens(block, unit[0]) else 0
        words = _narrow(group, total)
        cells.append(_spanning(block, unit, "centred", total, words) if group else "")
        rules += f"\\cmidrule(lr){{{unit[0] + 1}-{unit[-1] + 1}}}" if group else ""
    return [" & ".join(cells) + " \\\\", rules]


def _row(cells: Sequence[Cell], widths: dict[int, float]) -> list[str]:
    """One row, or two where estimates have their intervals below them."""
    stacked = any(isinstance(cell, Estimate) for cell in cells)
    first, second = [], []
    for place, cell in enumerate(cells):
        if isinstance(cell, str):
            upper, _, lower = cell.partition("\n") if stacked else (cell.replace("\n", " "), "", "")
            first.append(_narrow(upper, widths[place]))
            second.append(_narrow(lower, widths[place]))
        else:
            first.append(_first(cell))
            second.append(
                f"{{\\scriptsize {_interval(cell.interval)}}}"
                if isinstance(cell, Estimate) and cell.interval.text()
                else "{}"
            )
    lines = [f"{' & '.join(first)} \\\\"]
    return [*lines, f"{' & '.join(second)} \\\\[2pt]"] if stacked else lines


def _first(cell: Number | Interval | Estimate | None) -> str:
    if cell is None:
        return "{}"
    if isinstance(cell, Interval):
        return _interval(cell)
    number = cell.number if isinstance(cell, Estimate) else cell
    return "{--}" if number.value is None else _plain(number)


def _interval(interval: Interval) -> str:
    text = interval.text().replace("\u2212", "-").replace(", ", ",\\,")
    return f"${text}$" if text else "{}"
