"""Reports on several databases: whose runs are whose, what is refused, and what is said."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from snql.db import Database
from snql.errors import DatabaseError, InputError
from snql.reporting.build import build
from snql.reporting.figures import FIGURES
from snql.reporting.model import Report
from snql.reporting.options import Parts, ReportOptions
from snql.reporting.sources import LOCATED, Sources, labels, sources
from snql.reporting.tables import TABLES, Table

from .conftest import small
from .test_filled import ELSEWHERE


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> tuple[Database, Database]:
    folder = tmp_path_factory.mktemp("two")
    return small(folder / "llama.duckdb", seed=0), small(folder / "mistral.duckdb", seed=1)


def test_rows_of_both_stand_next_to_each_other_in_the_order_of_the_query(two: tuple[Database, Database]) -> None:
    query = "SELECT * FROM figure_layers ORDER BY run, band, layer"
    first, second = (database.frame(query) for database in two)
    frame = sources(two[0], two[1:]).frame(query)
    assert frame["run"].unique(maintain_order=True).to_list() == [
        *("helpful [llama]", "helpful [mistral]", "other [llama]", "other [mistral]"),
        *("safety [llama]", "safety [mistral]"),
    ]
    for label, alone in (("llama", first), ("mistral", second)):
        own = frame.filter(pl.col("run").str.ends_with(f"[{label}]"))
        assert own.drop("run").equals(alone.drop("run").with_columns(pl.col(pl.Float64).round_sig_figs(12)))


@pytest.mark.parametrize("view", LOCATED)
def test_rows_of_the_first_runs_are_those_among_all(two: tuple[Database, Database], view: str) -> None:
    names = ("run_a", "run_b") if view == "figure_overlap" else ("run",)
    query = f"SELECT * FROM {view} ORDER BY {', '.join(names)}"
    source = sources(two[0], two[1:])
    chosen = [f"{run} [{label}]" for run in ("helpful", "other") for label in ("llama", "mistral")]
    expected = source.frame(query).filter(pl.all_horizontal(pl.col(name).is_in(chosen) for name in names))
    assert sorted(map(str, source.frame(query, 2).rows())) == sorted(map(str, expected.rows()))
    assert source.n_located(query) == [3, 3]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_takes_rows_of_both(two: tuple[Database, Database], table: Table) -> None:
    alone, both = sources(two[0]).frame(table.query), sources(two[0], two[1:]).frame(table.query)
    if table.name in ELSEWHERE:
        assert both.is_empty(), "made in test_filled.py"
        return
    assert table.cells(both).height == 2 * table.cells(alone).height
    assert {run.rpartition(" ")[2] for run in both["run"]} == {"[llama]", "[mistral]"}


def test_pairs_of_runs_get_their_label_too(two: tuple[Database, Database]) -> None:
    frame = sources(two[0], two[1:]).frame("SELECT * FROM figure_overlap ORDER BY run_a, run_b")
    assert frame.height == 6
    for run_a, run_b in frame.select("run_a", "run_b").iter_rows():
        assert run_a.rpartition(" ")[2] == run_b.rpartition(" ")[2]


@pytest.fixture(scope="module")
def both(two: tuple[Database, Database], tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, bool]:
    """A report on both, and whether their files are as they were."""
    before = [database.path.read_bytes() for database in two]
    options = ReportOptions(figures=("layers", "overlap"), formats=("json",), compare=(two[1].path,))
    report = build(two[0], tmp_path_factory.mktemp("both") / "out", options)
    return report, [database.path.read_bytes() for database in two] == before


def test_a_report_on_both(both: tuple[Report, bool]) -> None:
    report, _ = both
    words = "Databases: [llama] is llama.duckdb and [mistral] is mistral.duckdb."
    for caption in [figure.caption for figure in report.figures] + [table.caption for table in report.tables]:
        assert caption.endswith(words)
    assert (report.out / "layers.sql").read_text().splitlines()[0] == f"-- Run it in each of the databases. {words}"
    drawn = (report.out / "overlap.json").read_text("utf-8")
    for run in ("helpful [llama]", "other [mistral]"):
        assert run in drawn
    page = report.index.read_text("utf-8")
    assert "safety [mistral]" in page
    assert "snql locate safety --before" in page and "snql locate &#39;safety [llama]&#39;" not in page


def test_one_database_has_no_label(database: Database) -> None:
    alone = sources(database)
    assert (alone.words, alone.sql_note) == ("", "")
    assert set(alone.runs()["run"]) >= {"safety", "helpful", "other", "sweep", "wide"}
    assert alone.runs()["name"].equals(alone.runs()["run"], check_names=False)


@pytest.mark.parametrize(
    ("paths", "expected"),
    [
        (("a/x.duckdb", "b/y.duckdb"), ("x", "y")),
        (("a/snql.duckdb", "b/snql.duckdb"), ("a/snql", "b/snql")),
        (("p/a/snql.duckdb", "q/a/snql.duckdb", "b/z.duckdb"), ("p/a/snql", "q/a/snql", "")),
        (("x.duckdb", "x.db"), ("x.duckdb", "x.db")),
        (("a/\x1b[1m.duckdb", "b.duckdb"), ("\u241b[1m", "b")),
    ],
)
def test_labels_differ(paths: tuple[str, ...], expected: tuple[str, ...]) -> None:
    found = labels([Path(path) for path in paths])
    assert len(set(found)) == len(paths)
    assert all(label == wanted for label, wanted in zip(found, expected, strict=True) if wanted)


def test_the_same_file_twice(two: tuple[Database, Database], tmp_path: Path) -> None:
    (tmp_path / "link.duckdb").symlink_to(two[0].path)
    for again in (two[0].path, tmp_path / "link.duckdb"):
        with pytest.raises(InputError, match=r"is the same database as .*llama.duckdb: name another one"):
            build(two[0], tmp_path / "out", ReportOptions(compare=(again,)))
    assert not (tmp_path / "out").exists()


def test_another_database_that_cannot_be_read(two: tuple[Database, Database], tmp_path: Path) -> None:
    with pytest.raises(DatabaseError, match=r"no database at .*none.duckdb"):
        build(two[0], tmp_path / "out", ReportOptions(compare=(tmp_path / "none.duckdb",)))
    (tmp_path / "text.duckdb").write_text("no database")
    with pytest.raises(DatabaseError, match=r"text.duckdb is not a DuckDB database"):
        build(two[0], tmp_path / "out", ReportOptions(compare=(tmp_path / "text.duckdb",)))


def test_reading_changes_neither_file(both: tuple[Report, bool]) -> None:
    _, unchanged = both
    assert unchanged


def test_a_report_on_some_runs_has_their_rows_only(two: tuple[Database, Database], tmp_path: Path) -> None:
    report = build(
        two[0],
        tmp_path / "out",
        ReportOptions(formats=("json",), runs=("safety", "other")),
        parts=Parts(("layers", "overlap")),
    )
    assert not report.tables
    query = (report.out / "layers.sql").read_text("utf-8").removesuffix(";\n")
    assert set(two[0].frame(query)["run"]) == {"safety", "other"}
    pairs = pl.read_csv(report.out / "overlap.csv").select("run_a", "run_b").rows()
    assert pairs == [("other", "safety")]
    assert "helpful" not in report.index.read_text("utf-8").split("<main", 1)[1]


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_every_table_of_one_run_is_the_whole_one_without_the_others(
    two: tuple[Database, Database], table: Table
) -> None:
    with two[0].reading():
        whole = sources(two[0]).frame(table.query)
        for run in whole["run"].unique():
            found = replace(sources(two[0]), only=(run,)).frame(table.query)
            assert found.equals(whole.filter(pl.col("run") == run))


def test_every_figure_takes_runs_by_name(two: tuple[Database, Database]) -> None:
    all_runs, one_run = sources(two[0]), sources(two[0], only=("safety",))
    with two[0].reading():
        for figure in FIGURES:
            whole, some = all_runs.frame(figure.query), one_run.frame(figure.query)
            expected = whole.filter(pl.col("run") == "safety") if "run" in whole.columns else whole.clear()
            assert some.equals(expected), figure.name


def test_names_of_runs_may_hold_quotes_and_unknown_ones_are_refused(two: tuple[Database, Database]) -> None:
    odd = Sources(two[0:1], ("",), ("it's",))
    assert odd.frame("SELECT 'it''s' AS run, 1 AS k UNION ALL SELECT 'its', 2 ORDER BY k")["k"].to_list() == [1]
    with pytest.raises(InputError, match="no finished run is named 'nope'.*its runs are fluent, fluent-tasks, helpful"):
        sources(two[0], only=("safety", "nope"))
    with pytest.raises(InputError, match="unknown table 'nope': choose from runs"):
        build(two[0], Path("unused"), parts=Parts((), ("nope",)))
