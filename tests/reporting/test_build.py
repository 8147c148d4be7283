"""Building a report: which files appear, that they are the same every time, and what is refused."""

import re
import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from pypdf import PdfReader
from pypdf.generic import ArrayObject, DictionaryObject, PdfObject

from snql.db import Database
from snql.errors import DatabaseError, InputError
from snql.progress import Progress
from snql.reporting.build import build, catalogue
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES as ALL
from snql.reporting.look import look
from snql.reporting.model import Report
from snql.reporting.options import FIGURE_NAMES, Parts, ReportOptions
from snql.reporting.pdf import canonical
from snql.reporting.render import FORMATS, file_of, picture
from snql.reporting.sizing import fitted
from snql.reporting.sources import sources
from snql.writing import formats as writers

from .conftest import Builder, example, small

FIGURES = (
    "effect-size",
    "graded-effects",
    "routes",
    "layers",
    "scores",
    "overlap",
    "cross-effects",
    "windows",
    "locating-prompts",
    "locating-pairs",
    "locating-positions",
    "transfer",
    "tax",
    "stability",
    "intervals",
    "volcano",
    "shift",
    "activations",
    "tokens",
    "verdicts",
    "trace",
    "judges",
    "guard",
    "guard-costs",
)
TABLES = ("runs", "effects", "transfer", "costs", "tax", "controls", "capability", "guard", "top-neurons")
ELSEWHERE = {"ablation", "guard-comparison", "scorers"}
"""Figures that the example has no runs for: tests/reporting/test_filled.py draws them."""
WORDS = ("csv", "sql", "caption.txt", "tex")


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One patch run alone: a report on it is made in a moment."""
    with Database(tmp_path_factory.mktemp("swept") / "x.duckdb") as database:
        with database.write() as connection:
            Builder(connection).patch("sweep")
        yield database


@pytest.fixture
def built(whole: Report) -> Report:
    return whole


def test_every_figure_and_table_is_written(built: Report) -> None:
    charts = {f"{name}.{suffix}" for name in FIGURES for suffix in (*FORMATS, *WORDS) if suffix != "png"}
    tables = {f"table-{name}.{suffix}" for name in TABLES for suffix in ("csv", "md", "tex")}
    others = {"index.html", "report.tex", "report-files.txt", "neurons"}
    assert {path.name for path in built.out.iterdir()} == charts | tables | others
    assert {path.name for figure in built.figures for path in figure.files} == charts
    assert all(path.is_file() for figure in built.figures for path in figure.files)
    assert built.index == built.out / "index.html"


def test_catalogue_names_every_figure() -> None:
    names = tuple(name for name, _ in catalogue())
    assert names == FIGURE_NAMES
    assert tuple(name for name in names if name not in ELSEWHERE) == FIGURES
    assert set(names) == {*FIGURES, *ELSEWHERE}
    assert all(description for _, description in catalogue())


def same_files(built: Report, other: Report) -> None:
    """All files of a report on equal data are the same, but for those that name the formats."""
    made = {path.relative_to(other.out) for path in other.out.rglob("*") if path.is_file()}
    naming_formats = {Path("index.html"), Path("report-files.txt"), Path("report.tex")}
    assert made > naming_formats and {path.suffix for path in made} >= {".svg", ".pdf", ".csv", ".tex", ".html"}
    for path in sorted(made - naming_formats):
        assert (built.out / path).read_bytes() == (other.out / path).read_bytes(), path.name


def test_same_data_same_bytes(built: Report, tmp_path: Path) -> None:
    """Files of some figures, of all tables and neurons, and the rows of all figures."""
    with example.__wrapped__(tmp_path / "again.duckdb") as again:
        options = ReportOptions(figures=("layers", "judges", "tokens"), formats=("svg", "pdf"))
        same_files(built, build(again, tmp_path / "out", options))
        for figure in ALL:
            if figure.name in FIGURES:
                rows = writers.render(sources(again).frame(figure.query), "csv")
                assert rows == (built.out / f"{figure.name}.csv").read_bytes(), figure.name


@pytest.mark.slow("test_same_data_same_bytes compares some figures' files, and the rows of the others")
def test_same_data_same_bytes_of_all_figures(built: Report, tmp_path: Path) -> None:
    with example.__wrapped__(tmp_path / "again.duckdb") as again:
        other = build(again, tmp_path / "out", ReportOptions(formats=("svg", "pdf")))
    same_files(built, other)
    assert (built.out / "report.tex").read_bytes() == (other.out / "report.tex").read_bytes()


def test_same_data_same_page(swept: Database, tmp_path: Path) -> None:
    pages = [build(swept, tmp_path / name, ReportOptions(figures=("tax",), formats=("svg",))) for name in "ab"]
    assert pages[0].index.read_bytes() == pages[1].index.read_bytes()


def test_a_file_without_objects_in_a_table_is_left_alone() -> None:
    for content in (b"", b"%PDF-1.7\nstartxref\n3\n%%EOF"):
        assert canonical(content) == content


def test_another_database_differs(built: Report, tmp_path: Path) -> None:
    with small(tmp_path / "other.duckdb", seed=1) as other:
        figure = next(figure for figure in ALL if figure.name == "scores")
        source = sources(other)
        drawn = fitted(partial(figure.draw, source.frame(figure.query), Context(source.runs())), look())[2]
    for extension in ("svg", "pdf"):
        content = file_of(picture(drawn, look().width), extension)
        assert content != (built.out / f"scores.{extension}").read_bytes()


def _dictionary(value: PdfObject) -> DictionaryObject:
    return cast(DictionaryObject, value.get_object())


@pytest.mark.parametrize("name", FIGURES)
def test_pdf_has_one_page_with_text_in_embedded_fonts(built: Report, name: str) -> None:
    reader = PdfReader(built.out / f"{name}.pdf", strict=True)
    (page,) = reader.pages
    fonts = _dictionary(_dictionary(page["/Resources"])["/Font"])
    for font in fonts.values():
        (descendant,) = cast(ArrayObject, _dictionary(font)["/DescendantFonts"])
        assert "/FontFile2" in _dictionary(_dictionary(descendant)["/FontDescriptor"])
    assert fonts
    title = next(figure.title for figure in built.figures if figure.name == name)
    assert title in page.extract_text()
    assert len(page.images) == 0


@pytest.mark.parametrize(
    "names",
    [("layers", "tokens", "trace"), pytest.param(FIGURES, marks=pytest.mark.slow("three figures stand for all"))],
    ids=len,
)
def test_png_has_300_dots_per_inch_and_the_size_of_the_pdf(
    database: Database, tmp_path: Path, names: tuple[str, ...]
) -> None:
    built = build(database, tmp_path / "out", ReportOptions(formats=("pdf", "png")), parts=Parts(names))
    assert {f"{name}.png" for name in names} <= {path.name for figure in built.figures for path in figure.files}
    for name in names:
        content = (built.out / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG\r\n\x1a\n")
        width, height = struct.unpack(">II", content[16:24])
        per_metre = struct.unpack(">I", content[content.index(b"pHYs") + 4 :][:4])[0]
        assert per_metre * 0.0254 == pytest.approx(300, abs=0.5)
        box = PdfReader(built.out / f"{name}.pdf").pages[0].mediabox
        assert (width, height) == pytest.approx((float(box.width) * 300 / 72, float(box.height) * 300 / 72), rel=0.01)


def test_pages_name_no_address_to_fetch(built: Report) -> None:
    for path in built.out.glob("*.html"):
        markup = re.sub(r"<script.*?</script>", "", path.read_text("utf-8"), flags=re.DOTALL)
        assert not re.findall(r"""(?:src|href)=["']?(?!#|data:)[^"']*//""", markup), path.name
        assert len(re.findall(r"<script>", path.read_text("utf-8"))) == 2


def test_wanted_figures_only(swept: Database, tmp_path: Path) -> None:
    seen: list[Progress] = []
    options = ReportOptions(figures=("tax", "effect-size"), formats=("json",))
    built = build(swept, tmp_path / "out", options, seen.append)
    assert [figure.name for figure in built.figures] == ["effect-size", "tax"]
    assert not any(figure.skipped for figure in built.figures)
    assert not (tmp_path / "out" / "scores.json").exists()
    assert [(step.done, step.total) for step in seen] == [(0, 2), (1, 2), (2, 2)]


@pytest.mark.parametrize(
    ("figures", "formats", "message"),
    [
        (("layer",), ("svg",), r"unknown figure 'layer': choose from effect-size, graded-effects"),
        ((), ("svg", "jpeg"), r"unknown format 'jpeg': choose from svg, pdf, png, html, json"),
        ((), (), r"no format given"),
    ],
)
def test_unknown_names(
    database: Database, tmp_path: Path, figures: tuple[str, ...], formats: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        build(database, tmp_path / "out", ReportOptions(figures=figures, formats=formats))
    assert list(tmp_path.iterdir()) == []


def test_figures_without_a_defined_effect_are_skipped_with_the_reason(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            builder.graded(builder.patch("sweep", ((0.01, None), (0.05, None))))
        options = ReportOptions(figures=("effect-size", "graded-effects"), formats=("svg",))
        found = build(database, tmp_path / "out", options)
    reasons = [figure.skipped for figure in found.figures]
    assert len(reasons) == 2
    assert all("none of its effects is defined" in str(reason) for reason in reasons)


def test_figures_without_data_are_skipped_with_what_to_run(tmp_path: Path) -> None:
    with Database(tmp_path / "small.duckdb") as database:
        with database.write() as connection:
            Builder(connection).patch("single", ((0.05, 0.5),))
        built = build(database, tmp_path / "out", ReportOptions(formats=("svg",)))
    skipped = {figure.name: figure.skipped for figure in built.figures}
    assert skipped["tax"] is None
    for name in FIGURES:
        if name in ("tax", "verdicts"):
            continue
        assert skipped[name] is not None and "run `snql" in str(skipped[name])
        assert not (built.out / f"{name}.svg").exists()
    page = built.index.read_text("utf-8")
    assert "--sweep" in page
    assert [table.name for table in built.tables] == ["runs", "effects", "costs", "tax"]


def test_no_finished_run(tmp_path: Path) -> None:
    with Database(tmp_path / "empty.duckdb") as database:
        with database.write() as connection:
            Builder(connection).run("broken", "locate", {}, status="failed")
        with pytest.raises(InputError, match=r"no finished run to report on: run `snql demo`"):
            build(database, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_missing_database(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match="no database at"):
        build(Database(tmp_path / "none.duckdb"), tmp_path / "out")


def test_database_without_these_views(tmp_path: Path) -> None:
    path = tmp_path / "old.duckdb"
    with small(path) as database, database.write() as connection:
        connection.execute("DROP VIEW figure_runs")
    with pytest.raises(DatabaseError, match="db migrate"):
        build(Database(path), tmp_path / "out")


def test_out_is_a_file(database: Database, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("mine")
    with pytest.raises(InputError, match="is a file"):
        build(database, tmp_path / "out")
    assert (tmp_path / "out").read_text() == "mine"


def test_a_failure_leaves_the_folder_as_it_was(
    swept: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "index.html").write_text(before := "Made by <code>snql report</code>, before")

    def fail(*_: object) -> str:
        raise RuntimeError("no page")

    monkeypatch.setattr("snql.reporting.page.index", fail)
    with pytest.raises(RuntimeError, match="no page"):
        build(swept, out, ReportOptions(figures=("tax",), formats=("svg",)))
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert [path.name for path in out.iterdir()] == ["index.html"]
    assert (out / "index.html").read_text() == before


def test_other_files_in_the_folder_stay(swept: Database, tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    build(swept, out, ReportOptions(figures=("tax",), formats=("svg",)))
    assert (out / "notes.txt").read_text() == "mine"
