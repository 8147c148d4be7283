"""Figures and tables in a document that a real LaTeX compiles."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pypdf import PdfReader, PdfWriter

from snql.db import Database
from snql.reporting.build import build
from snql.reporting.model import Report
from snql.reporting.options import ReportOptions
from snql.writing import latex
from snql.writing.formats import render
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number, estimate

from .hostile import HOSTILE

NEEDED = ("siunitx.sty", "booktabs.sty", "longtable.sty", "graphicx.sty", "lmodern.sty")
FEW_POINTS = 3.0


def missing() -> str:
    """What this machine lacks to compile the document; empty if nothing."""
    if not shutil.which("pdflatex"):
        return "pdflatex is not installed (Debian: texlive-latex-recommended, texlive-science, lmodern)"
    found = subprocess.run(["kpsewhich", *NEEDED], capture_output=True, text=True, check=False).stdout
    lacking = [name for name in NEEDED if name not in found]
    return f"LaTeX lacks {', '.join(lacking)}" if lacking else ""


needs_latex = pytest.mark.skipif(bool(missing()), reason=missing() or "LaTeX is installed")


def compiled(folder: Path, name: str = "report.tex", *options: str) -> tuple[PdfReader, str]:
    """The PDF and the log of a document, compiled twice."""
    for _ in range(2):
        command = ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", *options, name]
        ran = subprocess.run(command, cwd=folder, capture_output=True, check=False, timeout=120)
        assert ran.returncode == 0, ran.stdout.decode(errors="replace")[-1500:]
    log = (folder / name).with_suffix(".log").read_text("utf-8", "replace")
    return PdfReader((folder / name).with_suffix(".pdf")), log


def overfull(log: str) -> list[float]:
    """Points by which boxes stick out, those of a few points left out."""
    found = [float(points) for points in re.findall(r"Overfull \\hbox \(([\d.]+)pt too wide\)", log)]
    return [points for points in found if points > FEW_POINTS]


def fonts(reader: PdfReader) -> dict[str, tuple[str, bool]]:
    """Type of each font of the document by name, and whether its file is inside."""
    found: dict[str, tuple[str, bool]] = {}

    def add(resources: Any) -> None:
        entry = resources.get_object()
        for font in (entry.get("/Font") or {}).values():
            whole = font.get_object()
            inner = whole["/DescendantFonts"][0].get_object() if "/DescendantFonts" in whole else whole
            descriptor = inner.get("/FontDescriptor")
            files = {"/FontFile", "/FontFile2", "/FontFile3"} & set(descriptor.get_object() if descriptor else ())
            found[str(whole.get("/BaseFont"))] = (str(whole["/Subtype"]), bool(files))
        for inside in (entry.get("/XObject") or {}).values():
            if "/Resources" in inside.get_object():
                add(inside.get_object()["/Resources"])

    for page in reader.pages:
        add(page["/Resources"])
    return found


def text_of(reader: PdfReader) -> str:
    """All text of the pages, without the spaces and line ends that typesetting makes."""
    return re.sub(r"\s+", "", "".join(page.extract_text() for page in reader.pages))


@pytest.fixture(scope="module")
def built(whole: Report, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """The report in a folder in which LaTeX may write."""
    folder = shutil.copytree(whole.out, tmp_path_factory.mktemp("latex") / "out")
    return replace(whole, out=folder)


@needs_latex
def test_a_document_with_everything(built: Report) -> None:
    reader, log = compiled(built.out, "report.tex", "-no-shell-escape")
    assert not re.findall(r"^!|undefined references|multiply defined", log, re.MULTILINE)
    drawn = [figure for figure in built.figures if not figure.skipped]
    assert len(drawn) + len(built.tables) <= len(reader.pages) <= 2 * (len(drawn) + len(built.tables))
    text = text_of(reader)
    for title in [figure.title for figure in drawn] + [table.title for table in built.tables]:
        assert re.sub(r"\s+", "", title) in text
    for words in ("beavertails", "safety:5%", "Runwide:", "0.80", "[0.70,0.90]", "L2.N"):
        assert words in text
    kinds = fonts(reader)
    assert len(kinds) > 4
    assert all(embedded for _, embedded in kinds.values()), kinds
    assert "/Type3" not in {kind for kind, _ in kinds.values()}


@needs_latex
def test_tables_fit_a_narrow_text(built: Report) -> None:
    """LaTeX's article at its own margins: 345 points, with Computer Modern as it comes."""
    inputs = "\n".join(f"\\input{{table-{table.name}}}" for table in built.tables)
    document = "\\documentclass{article}\\usepackage{booktabs,longtable,siunitx}\\begin{document}\n" + inputs
    (built.out / "narrow.tex").write_text(document + "\n\\end{document}\n")
    _, log = compiled(built.out, "narrow.tex")
    assert overfull(log) == []
    assert "Float too large" not in log


@needs_latex
def test_hostile_text_is_only_text(hostile: Report) -> None:
    """Even with the shell allowed, nothing that a name holds is run or read."""
    reader, log = compiled(hostile.out, "report.tex", "-shell-escape")
    assert not (hostile.out / "pwned").exists()
    assert "/etc/passwd" not in re.findall(r"\(([^\s()]+)", log)
    text = text_of(reader)
    for words in (
        "<script>alert(1)</script>",
        r"\input{/etc/passwd}",
        r"\write18{touchpwned}",
        "=cmd|",
        "^^5cinput{x}",
    ):
        assert words in text, words
    assert "root:x:0" not in text
    assert all(embedded for _, embedded in fonts(reader).values())


@needs_latex
def test_hostile_tables_fit(hostile: Report) -> None:
    inputs = "\n".join(f"\\input{{table-{table.name}}}" for table in hostile.tables)
    document = "\\documentclass{article}\\usepackage{booktabs,longtable,siunitx}\\begin{document}\n" + inputs
    (hostile.out / "narrow.tex").write_text(document + "\n\\end{document}\n")
    _, log = compiled(hostile.out, "narrow.tex")
    assert overfull(log) == []
    assert "Float too large" not in log


@needs_latex
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
def test_numbers_of_all_sizes_are_set(tmp_path: Path, columns: str) -> None:
    """A query's tabular and a report's longtable, with numbers that siunitx reads and with what it does not."""
    numbers = (3e-8, 0.5, 1e300, -12.25, float("nan"), float("-inf"), None)
    frame = pl.DataFrame({"text": [*HOSTILE[: len(numbers)]], "x": numbers, "n": range(len(numbers))})
    (tmp_path / "query.tex").write_bytes(render(frame, "latex"))
    rows = tuple((f"row{place}", Number(value, 3, small=True)) for place, value in enumerate(numbers))
    made = latex.document("x", "Title", "Words.", [Block("", (Column("", "text"), Column("x")), (Group("", rows),))])
    (tmp_path / "table.tex").write_text(made)
    start = f"\\documentclass[{columns}]{{article}}\\usepackage{{booktabs,longtable,siunitx}}\\begin{{document}}\n"
    (tmp_path / "page.tex").write_text(f"{start}\\input{{query}}\n\n\\input{{table}}after\\end{{document}}\n")
    text = text_of(compiled(tmp_path, "page.tex")[0])
    assert "<script>alert(1)</script>" in text and "Table1:Title" in text
    for words in ("3\u00d710\u22128", "1\u00d710300", "\u221212.25", "NaN", "\u2212\u221e"):
        assert text.count(words) == 2, words


@needs_latex
@pytest.mark.skipif(not shutil.which("lualatex"), reason="lualatex is not installed")
def test_lualatex_sets_letters_of_all_scripts(hostile: Report) -> None:
    start = "\\documentclass{article}\\usepackage{booktabs,longtable,siunitx}\\begin{document}\n"
    document = f"{start}\\input{{table-runs}}\\end{{document}}\n"
    (hostile.out / "lua.tex").write_text(document)
    command = ["lualatex", "-interaction=nonstopmode", "-halt-on-error", "lua.tex"]
    ran = subprocess.run(command, cwd=hostile.out, capture_output=True, check=False, timeout=300)
    assert ran.returncode == 0, ran.stdout.decode(errors="replace")[-1500:]
    if b"luaotfload" in ran.stdout and b"not found" in ran.stdout:
        pytest.skip("it compiles, but this lualatex lacks luaotfload and so has no letters to set")
    log = (hostile.out / "lua.log").read_text("utf-8", "replace")
    assert "\u6f22" in log, "the font lacks the letter, and the log says so: it was set, not replaced"


def block(n_columns: int, rows: int = 1) -> Block:
    columns = (Column("", "text"), *(Column(f"set {number}", note="n = 100") for number in range(n_columns)))
    row: tuple[Cell, ...] = ("effect\n(interval)", *(estimate(0.5, 0.4, 0.6) for _ in range(n_columns)))
    return Block("", columns, tuple(Group(f"run {number}", (row,)) for number in range(rows)))


def test_too_many_columns_go_below_each_other() -> None:
    text = latex.document("x", "T", "C.", [block(16)])
    assert text.count("\\begin{longtable}") == 3
    assert text.count("\\caption") == text.count("\\label{tab:x}") == 1
    tables = text.split("\\begin{longtable}")[1:]
    heads = [table.partition("\\endhead")[0].rpartition("\\endfirsthead")[2] for table in tables]
    assert [table.count("effect &") for table in tables] == [1, 1, 1]
    assert [name for head in heads for name in re.findall(r"\{(set \d+)\\par", head)] == [f"set {n}" for n in range(16)]


def test_a_table_that_is_far_too_long_says_what_it_leaves_out() -> None:
    text = latex.document("x", "T", "C.", [block(2, 200), block(3, 200)])
    assert len(re.findall(r"\\emph\{run \d+\}", text)) == latex.MAX_ROWS
    assert f"{400 - latex.MAX_ROWS} more rows in the CSV file." in text


def test_undefined_and_not_measured_differ() -> None:
    columns = (Column("set", "text"), Column("effect"), Column("interval", "interval"))
    rows = (("a", Number(None), Interval(None, None)), ("b", None, None), ("c", Number(-0.001), Interval(-0.5, 0.25)))
    lines = latex.document("x", "T", "C.", [Block("", columns, (Group("", rows),))]).splitlines()
    assert [line for line in lines if re.match("[abc] &", line)] == [
        r"a & {--} & {} \\",
        r"b & {} & {} \\",
        r"c & 0.00 & $[-0.50,\,0.25]$ \\",
    ]


def test_long_words_can_break_and_short_ones_cannot() -> None:
    assert latex.breaking("recipient demo:sft") == "recipient demo:sft"
    broken = latex.breaking("meta-llama/Llama-2-7b-hf+out/sft")
    assert broken.replace("\\allowbreak{}", "") == "meta-llama/Llama-2-7b-hf+out/sft"
    assert "llama/\\allowbreak{}Llama" in broken
    assert latex.breaking("x" * 40).count("\\allowbreak{}") == 2


def test_figures_are_included_at_their_own_size(built: Report) -> None:
    for figure in (each for each in built.figures if not each.skipped):
        snippet = (built.out / f"{figure.name}.tex").read_text("utf-8")
        assert f"\\includegraphics{{{figure.name}.pdf}}" in snippet
        assert f"\\label{{fig:{figure.name}}}" in snippet
        caption = (built.out / f"{figure.name}.caption.txt").read_text("utf-8")
        assert caption == f"{figure.title}. {figure.caption}\n"


def test_no_snippet_without_a_format_that_latex_includes(database: Database, tmp_path: Path) -> None:
    report = build(database, tmp_path / "out", ReportOptions(figures=("layers",), formats=("svg",)))
    assert not (report.out / "layers.tex").exists()
    assert (report.out / "layers.caption.txt").exists()
    assert "\\input{layers}" not in (report.out / "report.tex").read_text("utf-8")


def test_csv_of_a_table_has_one_number_in_a_cell(built: Report) -> None:
    frame = pl.read_csv(built.out / "table-costs.csv")
    assert {"recipient", "patched", "donor"} <= {name for name, kind in frame.schema.items() if kind.is_float()}


@needs_latex
@pytest.mark.parametrize(("height", "expected"), [(200, 200), (2000, 385)])
def test_a_figure_keeps_its_size_unless_it_is_higher_than_a_page(
    whole: Report, tmp_path: Path, height: int, expected: int
) -> None:
    """LaTeX's article has 550 points of text in a page; 0.7 of it are 385. A point of PDF is 1.00375 of TeX."""
    writer = PdfWriter()
    writer.add_blank_page(300, height)
    writer.write(tmp_path / "layers.pdf")
    include = re.search(r"\\sbox0.*?\\fi\n", (whole.out / "layers.tex").read_text("utf-8"), re.DOTALL)
    assert include is not None
    start = "\\documentclass{article}\\usepackage{graphicx}\\begin{document}\n"
    measured = f"\\setbox2=\\hbox{{{include[0]}}}\\typeout{{HEIGHT=\\the\\ht2}}"
    (tmp_path / "page.tex").write_text(f"{start}{measured}x\\end{{document}}\n")
    _, log = compiled(tmp_path, "page.tex")
    (found,) = re.findall(r"HEIGHT=([\d.]+)pt", log)
    assert float(found) == pytest.approx(expected, rel=0.005)
