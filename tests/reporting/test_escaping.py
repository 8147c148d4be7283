"""Text that attacks: it must come out as text in every kind of file."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from snql.reporting.model import Report
from snql.writing.inert import visible

from .hostile import HOSTILE


@pytest.fixture
def built(hostile: Report) -> Report:
    """A report on runs whose every text is hostile."""
    return hostile


class Page(HTMLParser):
    """What a browser would find: elements with their attributes, scripts and text."""

    def __init__(self, markup: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[tuple[dict[str, str | None], str]] = []
        self.text = ""
        self._script = False
        self.feed(markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._script = tag == "script"
        if self._script:
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag: str) -> None:
        self._script = False

    def handle_data(self, data: str) -> None:
        if self._script:
            attributes, before = self.scripts[-1]
            self.scripts[-1] = (attributes, before + data)
        else:
            self.text += data


def drawn(built: Report) -> list[str]:
    """The figures that hostile runs have data for; charts of sets made for the purpose are tested with their rows."""
    names = [figure.name for figure in built.figures if not figure.skipped]
    assert len(names) >= 12
    return names


def test_page_has_only_its_own_scripts_and_no_handlers(built: Report) -> None:
    page = Page(built.index.read_text("utf-8"))
    specs = [text for attributes, text in page.scripts if attributes.get("type") == "application/json"]
    assert len(page.scripts) == len(specs) + 2
    assert len(specs) == 1 + len(drawn(built)) + 2
    for text in specs:
        assert "<" not in text and isinstance(json.loads(text), dict)
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    images = [attributes for tag, attributes in page.elements if tag == "img"]
    assert all(str(attributes["src"]).startswith("data:image/svg+xml;base64,") for attributes in images)


def test_page_shows_the_texts(built: Report) -> None:
    page = Page(built.index.read_text("utf-8"))
    for text in HOSTILE:
        assert visible(text) in page.text
    assert "\x1b" not in page.text and "\u202e" not in page.text


def test_policy_allows_the_two_scripts_only(built: Report) -> None:
    page = Page(built.index.read_text("utf-8"))
    policy = next(
        str(attributes["content"])
        for tag, attributes in page.elements
        if tag == "meta" and attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe-inline" not in policy.split("style-src")[0]


def test_chart_pages_have_only_their_own_scripts(built: Report) -> None:
    for path in built.out.glob("*.html"):
        if path != built.index:
            assert len(Page(path.read_text("utf-8")).scripts) == 3, path.name


def test_svg_is_xml_without_scripts(built: Report) -> None:
    files = sorted(built.out.glob("*.svg"))
    assert len(files) == len(drawn(built))
    for path in files:
        tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(path).iter()}
        assert tags <= {
            "svg",
            "g",
            "path",
            "style",
            "text",
            "rect",
            "defs",
            "clipPath",
            "linearGradient",
            "stop",
            "line",
            "tspan",
        }


def test_csv_has_no_formulas_and_no_controls(built: Report) -> None:
    files = sorted(built.out.glob("*.csv"))
    assert len(files) == len(drawn(built)) + len(built.tables)
    for path in files:
        content = path.read_text("utf-8")
        assert "\x1b" not in content
        for row in csv.reader(io.StringIO(content)):
            assert not [cell for cell in row if cell[:1] in "=@+" and cell[:1]], path.name
            for cell in row:
                assert not cell.startswith("-") or float(cell) < 0
    assert "'=cmd|' /C calc'!A0" in (built.out / "table-runs.csv").read_text("utf-8")


def test_latex_has_no_command_of_a_text(built: Report) -> None:
    """Every command in a file is one that snql writes; tests of its own compile the files."""
    own = {"begin", "end", "toprule", "midrule", "bottomrule", "cmidrule", "addlinespace", "multicolumn", "centering"}
    own |= {"endfirsthead", "endhead", "endfoot", "raggedright", "snqlwords", "snqlhead", "addtocounter", "scriptsize"}
    own |= {"caption", "label", "par", "emph", "allowbreak", "snqlother", "char", "endgroup", "snqlafter"}
    own |= {"textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textless", "textgreater"}
    own |= {"textbar", "ldots", ",", *"\\{}$&#%_"}
    files = sorted(built.out.glob("table-*.tex"))
    assert len(files) == 8
    for path in files:
        lines = path.read_text("utf-8").splitlines()
        body = "\n".join(
            line for line in lines if not line.startswith(("%", "\\providecommand", "\\makeatletter", "\\begingroup"))
        )
        assert set(re.findall(r"\\([a-zA-Z]+|.)", body)) <= own, path.name
        assert "\x1b" not in body
    runs = (built.out / "table-runs.tex").read_text("utf-8").replace("\\allowbreak{}", "")
    assert r"\textbackslash{}input\{/etc/passwd\}" in runs


def test_markdown_has_no_markup_of_a_text(built: Report) -> None:
    files = sorted(built.out.glob("*.md"))
    assert len(files) == 8
    for path in files:
        content = path.read_text("utf-8")
        assert not re.findall(r"[\x00-\x09\x0b-\x1f\u202e<>]", content), path.name
        assert not re.findall(r"\]\(|(?<!\\)`|https?:|www\.", content), path.name
        for line in content.splitlines():
            if line.startswith("|"):
                cells = re.split(r"(?<!\\)\|", line)
                assert len(cells) == rows_of(content, line), path.name
    runs = (built.out / "table-runs.md").read_text("utf-8")
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in runs


def rows_of(content: str, line: str) -> int:
    """Cells of the head of the table in which a line stands, split as Markdown does."""
    before = content[: content.index(f"\n{line}\n") + 1]
    start = before.rfind("\n\n") + 2
    return len(re.split(r"(?<!\\)\|", content[start:].split("\n", 1)[0]))


def test_captions_for_text_programs_are_visible(built: Report) -> None:
    files = sorted(built.out.glob("*.caption.txt"))
    assert len(files) == len(drawn(built))
    for path in files:
        (line,) = path.read_text("utf-8").splitlines()
        assert not re.findall(r"[\x00-\x1f\u202e]", line)
