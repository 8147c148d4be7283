"""Every writer with the same hostile cells and the same numbers, read back by a program that is not ours."""

import csv
import json
import math
import re
import unicodedata
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from io import BytesIO, StringIO

import polars as pl
import pytest
from markdown_it import MarkdownIt

from snql.writing import html, markdown, terminal
from snql.writing.formats import WRITERS, render
from snql.writing.inert import visible
from snql.writing.layout import Block, Column, Group

from ..reporting.hostile import HOSTILE

CELLS = (
    *HOSTILE,
    "  =1+1",
    "\t-1",
    "\u200b+1",
    "\u00ad\u2800@x",
    "\u202e\u0301=1",
    "\uff1d1",
    "two\nlines|and\\|pipes",
    "**b** _i_ ~~s~~ `c` <https://a.b> www.a.b https://a.b/c",
    "</td></tr></table><b onmouseover=x>",
    "&lt;b&gt; &#60;",
    "quote \" and ' and \\",
    "\x00\x07\x85\u2028\ue000\U000e0001",
    "",
)
NUMBERS = (0.5, -1.5, 3e-8, 1e300, -2e-300, 0.0, -0.0, 123456.75, math.nan, math.inf, -math.inf, None)
INTEGERS = (1, -2, 0, 2**60, -(2**60), 3, 4, 5, 6, 7, 8, None)
MARKUP = {"table", "thead", "tbody", "tr", "th", "td", "br"}


class Cells(HTMLParser):
    """The cells of a table as a browser would show them; any other element than those of a table is an error."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.cells: list[str] = []
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in MARKUP and {name for name, _ in attrs} <= {"style", "scope", "class"}, tag
        if tag in ("td", "th"):
            self.cells.append("")
        elif tag == "br":
            self.cells[-1] += "\n"

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data.strip("\n") if data.isspace() else data


def of_csv(data: bytes, delimiter: str = ",") -> list[str]:
    return ["".join(row[:1]) for row in csv.reader(StringIO(data.decode(), newline=""), delimiter=delimiter)]


def of_markdown(data: bytes) -> list[str]:
    shown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).render(data.decode())
    return Cells(shown).cells


def of_latex(data: bytes) -> list[str]:
    """The rows between the rules, without the braces of heads and of what is no number."""
    lines = data.decode().splitlines()
    return [line.removesuffix(" \\\\").strip("{}") for line in lines if line.endswith("\\\\")]


def objects(rows: Sequence[dict[str, object]]) -> list[object]:
    return [*rows[0], *(value for row in rows for value in row.values())]


READERS: dict[str, Callable[[bytes], list[object]]] = {
    "csv": lambda data: [*of_csv(data)],
    "tsv": lambda data: [*of_csv(data, "\t")],
    "json": lambda data: objects(json.loads(data)),
    "jsonl": lambda data: objects([json.loads(line) for line in data.decode().split("\n") if line]),
    "parquet": lambda data: objects(pl.read_parquet(BytesIO(data)).to_dicts()),
    "arrow": lambda data: objects(pl.read_ipc(BytesIO(data)).to_dicts()),
    "markdown": lambda data: [*of_markdown(data)],
    "latex": lambda data: [*of_latex(data)],
    "html": lambda data: [*Cells(data.decode()).cells],
    "report": lambda data: [*of_markdown(data.partition(b"\n\n")[2])],
}
EXACT = ("json", "jsonl", "parquet", "arrow")
assert READERS.keys() > WRITERS.keys()


def written(frame: pl.DataFrame, name: str) -> bytes:
    """The frame of one column in a format, ``html`` as notebooks have it, ``report`` as a report's Markdown table."""
    if name == "html":
        texts = [["" if value is None else str(value)] for value in frame.to_series()]
        return f"<table>{html.rows(frame.columns, [False], texts)}</table>".encode()
    if name == "report":
        rows = tuple((str(value),) for value in frame.to_series())
        block = Block("", (Column(frame.columns[0], "text"),), (Group("", rows),))
        return markdown.document("", "", [block]).encode()
    return render(frame, name)


def unguarded(cell: str) -> bool:
    """Whether a spreadsheet could take a cell for a formula, blanks and what does not show left out."""
    seen = [letter for letter in unicodedata.normalize("NFKC", cell) if unicodedata.category(letter)[0] not in "CZM"]
    return "".join(seen).lstrip("\u2800\ufffd\u1160")[:1] in {"=", "+", "-", "@"}


@pytest.mark.parametrize("name", READERS)
def test_hostile_cells_are_text_in_every_format(name: str) -> None:
    head = "=cmd|<b>*x*\u202e"
    data = written(pl.DataFrame({head: CELLS}), name)
    cells = READERS[name](data)
    if name in EXACT:
        assert cells == [head, *CELLS]
        return
    assert len(cells) == 1 + len(CELLS)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\ue000]", data.decode())
    for cell, text in zip(map(str, cells), (head, *CELLS), strict=True):
        if name in ("csv", "tsv"):
            assert not unguarded(cell)
            assert cell in (visible(text, keep="\t\n"), "'" + visible(text, keep="\t\n"))
            assert cell[:1] != "'" or unguarded(text) or text.startswith("'")
        elif name == "latex":
            assert not re.search(r"(?<!\\)[&#%_^~\"`<>|]|\\(?:input|write|end)", cell), cell
            assert text.isspace() or not text or cell
        elif name == "report":
            assert cell.strip() == visible(text.replace("\n", " "), keep="\n").strip()
        else:
            assert cell.strip() == visible(text, keep="\n").strip()


def test_hostile_cells_are_text_in_the_terminal() -> None:
    lines = terminal.table([(text, "1") for text in CELLS], 200)
    assert len(lines) == len(CELLS)
    for text, line in zip(CELLS, lines, strict=True):
        assert line.startswith(visible(text).rstrip()[:100]) and line.endswith("1")
        assert terminal.cell(text) == visible(text)
        assert all(unicodedata.category(letter) not in ("Cc", "Zl", "Zp") for letter in line)


def number_of(cell: object) -> float | None:
    """A cell of numbers as its format's readers take it."""
    if cell is None or cell in ("", "--"):
        return None
    return float({r"$\infty$": "inf", r"$-\infty$": "-inf"}.get(str(cell), str(cell)))


@pytest.mark.parametrize("name", WRITERS)
def test_numbers_keep_their_value_in_every_format(name: str) -> None:
    cells = READERS[name](render(pl.DataFrame({"x": NUMBERS}), name))[1:]
    for cell, value in zip(map(number_of, cells), NUMBERS, strict=True):
        if value is None or (name in ("json", "jsonl") and not math.isfinite(value)):
            assert cell is None
        elif math.isnan(value):
            assert cell is not None and math.isnan(cell)
        elif name == "latex":
            assert cell == pytest.approx(value, rel=0.005)
        else:
            assert cell == value
        if value == 0 and cell is not None:
            assert math.copysign(1, cell) == math.copysign(1, value)


@pytest.mark.parametrize("name", WRITERS)
def test_integers_are_exact_in_every_format(name: str) -> None:
    cells = READERS[name](render(pl.DataFrame({"n": INTEGERS}), name))[1:]
    assert [None if cell in (None, "", "--") else int(str(cell)) for cell in cells] == list(INTEGERS)


@pytest.mark.parametrize("values", [(0.5, -3e-8), (1e300, 1.5), (12.25, -0.125), (5e-324,), (math.nan,), (None,)])
def test_a_column_of_latex_is_as_wide_as_its_numbers(values: tuple[float | None, ...]) -> None:
    """Digits before and after the point, and of the exponent, with their signs: what siunitx keeps room for."""
    text = render(pl.DataFrame({"x": values}, schema={"x": pl.Float64}), "latex").decode()
    room = re.search(r"table-format=(-?)(\d+)(?:\.(\d+))?(?:e(-?)(\d+))?\]", text)
    assert room is not None
    sign, whole, part, power_sign, power = room.groups(default="")
    for cell in of_latex(text.encode())[1:]:
        digits, _, exponent = cell.partition("e")
        if not re.fullmatch(r"-?[\d.]+", digits):
            continue
        assert sign or not digits.startswith("-")
        assert len(digits.lstrip("-").partition(".")[0]) <= int(whole)
        assert len(digits.partition(".")[2]) <= int(part or 0)
        assert not exponent or (len(exponent.lstrip("-")) <= int(power) and (power_sign or exponent[0] != "-"))
