"""Text that attacks: it must come out as text in every kind of file."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser
from pathlib import Path

import polars as pl
import pytest

from snql.reporting.model import Report
from snql.writing.markdown import markdown_cell
from snql.writing.words import csv_cell, latex_cell, short_labels, visible

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
    assert len(specs) == len(drawn(built)) + 2
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
    own |= {"small", "scriptsize", "setlength", "tabcolsep", "emergencystretch", "caption", "label", "par", "smallskip"}
    own |= {"medskip", "nopagebreak", "emph", "hspace", "allowbreak", "snqlother", "snqlragged", "snqlcentred", "char"}
    own |= {"textbackslash", "textasciitilde", "textasciicircum", "textasciigrave", "textless", "textgreater"}
    own |= {"textbar", "ldots", ",", *"\\{}$&#%_"}
    files = sorted(built.out.glob("table-*.tex"))
    assert len(files) == 8
    for path in files:
        lines = path.read_text("utf-8").splitlines()
        body = "\n".join(line for line in lines if not line.startswith(("%", "\\providecommand")))
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


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[a](http://b)", "&#91;a&#93;(http&#58;//b)"),
        ("![i](x.png)", "!&#91;i&#93;(x.png)"),
        ("a|b", r"a\|b"),
        ("`c` *d* _e_ ~f~", r"\`c\` \*d\* \_e\_ \~f\~"),
        ("\\| x", r"\\\| x"),
        ("<b>&amp;", "&lt;b&gt;&amp;amp;"),
        ("$x$ www.y.z", "&#36;x&#36; www&#46;y.z"),
        ("two\nlines", "two␊lines"),
        ("safety:5% & helpful - L3.N2", "safety:5% &amp; helpful - L3.N2"),
    ],
)
def test_markdown_cell(text: str, expected: str) -> None:
    assert markdown_cell(text) == expected


def test_captions_for_text_programs_are_visible(built: Report) -> None:
    files = sorted(built.out.glob("*.caption.txt"))
    assert len(files) == len(drawn(built))
    for path in files:
        (line,) = path.read_text("utf-8").splitlines()
        assert not re.findall(r"[\x00-\x1f\u202e]", line)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-1", "'-1"),
        ("@x", "'@x"),
        (" =1", "' =1"),
        ("\t=1", "␉=1"),
        ("a=1", "a=1"),
        ("", ""),
        ("\x1b[31m", "␛[31m"),
    ],
)
def test_csv_cell(text: str, expected: str) -> None:
    assert csv_cell(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("50% & $x_1$ #2", r"50\% \& \$x\_1\$ \#2"),
        ("\\input{x}", r"\textbackslash{}input\{x\}"),
        ("a~b^c", r"a\textasciitilde{}b\textasciicircum{}c"),
        ("[x] * y", "{[}x{]} {*} y"),
        ("a---b ''", "a-{}-{}-b '{}'"),
        ("<a|b>", r"\textless{}a\textbar{}b\textgreater{}"),
        ("two\nlines\x1b", "two?lines?"),
        ('`"', r"\textasciigrave{}{\char34}"),
        ("a,,b", "a,{},b"),
        (
            "na\u00efve \u6f22\u5b57 \u2212 \u0105\u2026",
            "na\u00efve \\snqlother{\u6f22\u5b57} $-$ \\snqlother{\u0105}\\ldots{}",
        ),
    ],
)
def test_latex_cell(text: str, expected: str) -> None:
    assert latex_cell(text) == expected


def test_visible_keeps_letters_of_all_scripts() -> None:
    assert visible("naïve 漢字 العربية 👩\u200d🔬") == "naïve 漢字 العربية 👩\u200d🔬"
    assert visible("a\nb\x00\x7f\x9b\u2028\u202e", keep="\n") == "a\nb␀␡\ufffd␤\ufffd"


def test_labels_of_different_texts_differ() -> None:
    texts = [f"{'x' * 40}{number}{'y' * 40}" for number in range(3)]
    labels = short_labels(texts, 20)
    assert len(set(labels.values())) == 3
    assert all(len(label) <= 20 for label in labels.values())
    assert short_labels(["plain"])["plain"] == "plain"


def test_numbers_are_not_quoted(tmp_path: Path) -> None:
    from snql.writing.words import csv_frame

    frame = csv_frame(pl.DataFrame({"text": ["-1"], "number": [-1.5]}))
    assert frame.rows() == [("'-1", -1.5)]
