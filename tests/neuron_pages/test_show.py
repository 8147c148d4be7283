"""How activations and hostile text look: in HTML, and in the terminal."""

import io
import json
import re
from html.parser import HTMLParser
from math import log
from pathlib import Path

import pytest
from rich.console import Console
from snql.cli.neuron_view import blocks, example_line, ground

from snql.errors import InputError
from snql.neuron_pages import describe_neuron, describe_neurons, html
from snql.neuron_pages.model import ContextToken, Example
from snql.neuron_pages.shade import heights, shade, short_token, token_text
from snql.writing.words import number
from tests.cli.conftest import Snql
from tests.cli.conftest import snql as snql

from .conftest import Filled

pytestmark = pytest.mark.usefixtures("lingering")

VOID = {"meta"}
TOKENS = (ContextToken(5, "\n", 0.5, -4.0), ContextToken(6, " a[b]", 1.0, 2.0), ContextToken(7, "\x1b[31m", None, None))
EXAMPLE = Example(1, "set", "the head", TOKENS, 1, starts=False, ends=True, n_same=2)


class Page(HTMLParser):
    """Checks that elements close in order, and collects them with their text."""

    def __init__(self, markup: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(markup)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += "" if self.open and self.open[-1] == "style" else data


def _hostile(dense: Filled) -> None:
    with dense.db.write() as connection:
        connection.execute("UPDATE runs SET name = ? WHERE name = 'kept'", ["kept<script>\x1b[1m\u202e"])


def _pages(dense: Filled) -> list[str]:
    _hostile(dense)
    page = describe_neuron(dense.db, "L0.N3", examples=9)
    table = describe_neurons(dense.db, "sql(SELECT 0 AS layer, 3 AS neuron, '</title><script>' AS x)")
    return [html.neuron_html(page), html.neurons_html(table)]


def test_pages_are_whole_and_inert(dense: Filled) -> None:
    for markup in _pages(dense):
        page = Page(markup)
        assert not {tag for tag, _ in page.tags} & {"script", "b", "i", "img", "link", "iframe"}
        assert not [
            name for _, attributes in page.tags for name in attributes if name.startswith("on") or name == "src"
        ]
        assert all(str(attributes.get("href", "#")).startswith("#") for _, attributes in page.tags)
        assert not re.search(r"https?:|url\(|@import", markup)
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", markup)
        policy = next(a["content"] for tag, a in page.tags if tag == "meta" and "http-equiv" in a)
        assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_hostile_text_is_shown_as_text(dense: Filled) -> None:
    neuron, table = (Page(markup) for markup in _pages(dense))
    for text in (
        "<script>alert(1)</script>",
        "␛[31mred",
        "x\ufffdy",
        "kept<script>␛[1m\ufffd",
        "<i>data</i>",
        "<b>what</b>?",
    ):
        assert text in neuron.text
    assert "</title><script>" in table.text


def test_the_page_shows_what_was_found(dense: Filled) -> None:
    found = describe_neuron(dense.db, "L0.N3")
    page = Page(html.neuron_html(found))
    view = found.runs[0].tokens
    assert view is not None
    n_examples = sum(len(each.examples) for each in view.lists)
    assert sum(attributes.get("class") == "peak" for _, attributes in page.tags) == n_examples
    assert sum(tag == "svg" for tag, _ in page.tags) == 3
    bars = [attributes for tag, attributes in page.tags if tag == "rect" and attributes.get("class") != "band"]
    assert len(bars) == 3 * 40 and max(float(str(bar["height"])) for bar in bars) == html.HEIGHT
    bare = Page(html.neuron_html(describe_neuron(dense.db, "L0.N3", ["bare"])))
    assert "No tokens to show" in bare.text and "--keep L0.N3" in bare.text and "L0.N3" in bare.text


@pytest.mark.parametrize(
    ("value", "scale", "expected"),
    [
        (2.0, 4.0, ("positive", 0.5)),
        (-1.0, 4.0, ("negative", 0.25)),
        (4.0, 4.0, ("positive", 1.0)),
        (5.0, 4.0, ("positive", 1.0)),
        (0.0, 4.0, ("none", 0.0)),
        (None, 4.0, ("none", 0.0)),
        (0.0, 0.0, ("none", 0.0)),
    ],
)
def test_intensity(value: float | None, scale: float, expected: tuple[str, float]) -> None:
    assert shade(value, scale) == expected


def test_ground_in_html() -> None:
    assert html.ground(2.0, 4.0) == "background-color: rgba(230, 120, 0, 0.33)"
    assert html.ground(-4.0, 4.0) == "background-color: rgba(0, 114, 178, 0.65)"
    assert html.ground(0.001, 4.0) == html.ground(None, 4.0) == ""


def _luminance(colour: tuple[float, ...]) -> float:
    """Relative luminance as WCAG 2 defines it, of sRGB between 0 and 255."""
    linear = [c / 255 / 12.92 if c / 255 <= 0.04045 else ((c / 255 + 0.055) / 1.055) ** 2.4 for c in colour]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _contrast(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("value", [1.0, 0.5, -0.5, -1.0])
@pytest.mark.parametrize(("ink", "paper"), [((29, 29, 31), (255, 255, 255)), ((236, 236, 240), (23, 23, 26))])
def test_text_is_legible_on_every_ground(value: float, ink: tuple[int, ...], paper: tuple[int, ...]) -> None:
    *colour, opacity = map(float, re.findall(r"[\d.]+", html.ground(value, 1.0)))
    blend = tuple(opacity * c + (1 - opacity) * p for c, p in zip(colour, paper, strict=True))
    assert _contrast(blend, ink) >= 4.5


@pytest.mark.parametrize("value", [x / 20 for x in range(-20, 21) if abs(x) > 1])
def test_text_is_legible_in_the_terminal(value: float) -> None:
    style = ground(value, 1.0)
    assert style.bgcolor is not None and style.bgcolor.triplet is not None
    assert style.color is not None and style.color.triplet is not None
    assert _contrast(tuple(map(float, style.bgcolor.triplet)), tuple(map(float, style.color.triplet))) >= 4.5
    red, _, blue = style.bgcolor.triplet
    assert (red > blue) == (value > 0)


def test_bars() -> None:
    assert heights([0, 1, 4], log=False) == [0, 0.25, 1]
    assert heights([0, 1, 3], log=True) == pytest.approx([0, log(2) / log(4), 1])
    assert heights([0, 0], log=True) == [0, 0]
    assert blocks([0, 0.001, 0.5, 1]) == " ▁▄█"


def test_token_texts() -> None:
    assert token_text("a\n\x1b b") == "a↵␛ b"
    assert (short_token(" a b "), short_token("  "), short_token("")) == ("␣a b␣", "␣␣", "∅")
    assert [number(v) for v in (None, 12345, -0.5, 1234.56)] == ["–", "12,345", "−0.5", "1235"]
    assert number(0.25, signed=True) == "+0.25"


def test_an_example_in_the_terminal() -> None:
    line = example_line(EXAMPLE, "after", 4.0)
    assert line.plain == "…the head↵[ a[b]]␛[31m  x2"
    colours = {line.plain[span.start : span.end]: str(span.style) for span in line.spans}
    # Full and half intensity: 0.85 and 0.425 of the way from white to blue and to orange.
    assert colours["↵"] == "rgb(0,0,0) on rgb(38,135,190)"
    assert colours["[ a[b]]"] == "bold rgb(0,0,0) on rgb(244,198,147)"
    shown = Console(file=io.StringIO(), force_terminal=True, color_system="truecolor", width=80)
    shown.print(line)
    assert isinstance(shown.file, io.StringIO) and "\x1b[31m" not in shown.file.getvalue()


def test_neuron_command(snql: Snql, dense: Filled) -> None:
    path = str(dense.db.path)
    outcome = snql("--db", path, "neuron", "L0.N3", "--examples", "3")
    assert outcome.code == 0 and "\x1b" not in outcome.out
    for text in (
        "L0.N3  of models with 3x20 neurons",
        "Highest after",
        "Largest decrease",
        "No patched and no saved set",
    ):
        assert text in outcome.out
    parts = json.loads(snql("--db", path, "--json", "neuron", "L0.N3").out)
    assert set(parts) == {"scores", "sets", "values", "layers", "activations", "examples"}
    assert [row["run"] for row in parts["scores"]] == ["kept", "bare"]


def test_neurons_command(snql: Snql, dense: Filled) -> None:
    path = str(dense.db.path)
    outcome = snql("--db", path, "neurons", "kept:40 | bare:60", "--limit", "40")
    assert outcome.code == 0 and "\x1b" not in outcome.out
    assert "rank in bare" in outcome.out and "not kept" in outcome.out
    assert "showing 40 of 60 neurons" in outcome.err
    rows = json.loads(snql("--db", path, "--json", "neurons", "bare:3").out)
    assert [(row["rank"], row["tokens"]) for row in rows] == [(1, None), (2, None), (3, None)]


def test_html_files(snql: Snql, dense: Filled, tmp_path: Path) -> None:
    path = str(dense.db.path)
    assert snql("--db", path, "neuron", "L0.N3", "--html", str(tmp_path)).code == 0
    assert Page((tmp_path / "L0.N3.html").read_text("utf-8")).text.count("L0.N3")
    assert snql("--db", path, "neurons", "kept:3", "--html", "table.html").code == 0
    assert Page((tmp_path / "table.html").read_text("utf-8")).text.count("kept:3")
    missing = snql("--db", path, "neurons", "kept:3", "--html", "no/table.html")
    assert missing.code == 2 and "--html no/table.html cannot be written" in missing.err


@pytest.mark.parametrize(
    "command", [("neuron", "L99.N0"), ("neuron", "x"), ("neurons", "kept:99%&"), ("neurons", "@no")]
)
def test_mistakes_give_one_line(snql: Snql, dense: Filled, command: tuple[str, str]) -> None:
    outcome = snql("--db", str(dense.db.path), *command)
    assert outcome.code == 2 and outcome.out == "" and outcome.err.count("\n") == 1


def test_the_library_has_both() -> None:
    from snql.neuron_pages import describe_neuron as one

    assert __import__("snql").describe_neuron is one


def test_a_page_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be written"):
        html.write_page(tmp_path / "x.duckdb", "x", tmp_path / "no" / "x.html", "y.html")
