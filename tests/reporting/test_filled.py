"""Figures and tables of scorers, guards and value vectors, on a database with something in every table."""

from collections.abc import Iterator

import altair as alt
import polars as pl
import pytest

from snql.db.connection import Database
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES
from snql.reporting.kit.figure import Figure
from snql.reporting.look import look
from snql.reporting.sizing import fitted
from snql.reporting.sources import sources
from snql.reporting.tables import TABLES, Table
from snql.writing import latex, markdown
from snql.writing.layout import Estimate, Number
from tests.db.filled import fill

ELSEWHERE = ("ablation", "guard-comparison", "scorers", "value-vectors")
"""What the example of the other tests has no runs for."""
MADE = (*ELSEWHERE, "guard", "guard-costs")
NARROW = pytest.mark.slow("each figure in the width of a page, one in that of a column, too")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(tmp_path_factory.mktemp("filled") / "full.duckdb") as database:
        with database.write() as connection:
            fill(connection)
        yield database


@pytest.fixture(scope="module")
def context(full: Database) -> Context:
    return Context(full.frame("SELECT * FROM figure_runs ORDER BY kind, run"))


def table_of(name: str) -> Table:
    return next(table for table in TABLES if table.name == name)


@pytest.mark.parametrize(
    ("figure", "width"),
    [
        pytest.param(each, width, marks=NARROW if width == "column" and each.name != "guard" else [])
        for each in FIGURES
        if each.name in MADE
        for width in ("page", "column")
    ],
)
def test_figures_are_drawn_and_fit(full: Database, context: Context, figure: Figure, width: str) -> None:
    frame = full.frame(figure.query)
    drawing = figure.draw(frame, context, look("paper", width))
    assert isinstance(drawing.chart, alt.TopLevelMixin)
    drawing.chart.to_dict()  # with all of Altair's checks, which a report leaves out
    assert "95 % bootstrap interval" in drawing.caption
    assert "2,000 resamples, seed" in drawing.caption
    fitted(lambda style: figure.draw(frame, context, style), look("paper", width))


@pytest.mark.parametrize("table", [each for each in TABLES if each.name in MADE], ids=lambda table: table.name)
def test_tables_escape_what_models_wrote(full: Database, context: Context, table: Table) -> None:
    rows = sources(full).frame(table.query)
    blocks, caption = table.blocks(rows), table.caption(rows, context)
    assert table.cells(rows).height == rows.height
    for text in (
        markdown.document(table.title, caption, blocks),
        latex.document(table.name, table.title, caption, blocks),
    ):
        assert "<b>" not in text.replace(r"\textless{}b\textgreater{}", "")
    one = rows["run"][0]
    assert set(sources(full, only=(one,)).frame(table.query)["run"]) == {one}


def test_scorers_have_their_effects_overlap_and_controls(full: Database) -> None:
    rows = sources(full).frame(table_of("scorers").query)
    (block,) = table_of("scorers").blocks(rows)
    first = block.groups[0]
    run, judge = first.head.split(", judge ")
    expected = rows.filter((pl.col("run") == run) & (pl.col("judge") == judge))
    assert [row[0] for row in first.rows] == expected.sort("effect", descending=True)["scorer"].to_list()
    best = expected.sort("effect", descending=True).row(0, named=True)
    effect = first.rows[0][2]
    assert isinstance(effect, Estimate)
    assert (effect.number.value, effect.interval.low) == (best["effect"], best["ci_low"])
    assert {"change-score", "wanda"} == set(rows["scorer"])
    members = full.frame(
        "SELECT v.run_id, v.name, m.* EXCLUDE (set_id) FROM variants AS v JOIN neuron_set_members AS m USING (set_id)"
    )
    largest = max(rows.filter(pl.col("scorer") == "change-score")["n_neurons"].to_list())
    for row in rows.filter(pl.col("scorer") == "change-score", pl.col("n_neurons") == largest).iter_rows(named=True):
        assert row["overlap"] == pytest.approx(
            len(members.filter(pl.col("name") == row["variant"], run_id=5)) / largest
        )


def test_value_vectors_stand_in_the_order_of_their_ranking(full: Database) -> None:
    rows = sources(full).frame(table_of("value-vectors").query)
    ranks = full.frame("SELECT layer, expert, neuron, rank FROM neuron_scores WHERE run = 'safety'")
    for _, group in rows.group_by("run"):
        joined = group.join(ranks, on=["layer", "neuron"], how="left", suffix="_stored").filter(
            pl.col("expert") == pl.col("expert_stored")
        )
        assert (joined["rank"] == joined["rank_stored"]).all() or joined.is_empty()
        known = group.sort("place")["rank"].drop_nulls()
        assert known.is_sorted()
    assert rows["promotes"][0].to_list() == ["<b>1</b>", "<b>2</b>"]


def test_guards_have_one_row_for_each_data_set(full: Database) -> None:
    rows = sources(full).frame(table_of("guard").query)
    (block,) = table_of("guard").blocks(rows)
    assert sum(len(group.rows) for group in block.groups) == rows.height
    measure = full.frame(
        "SELECT run, dataset, value FROM guard_scores WHERE stage = 'test' AND is_main AND kind = 'guard' "
        "AND measure = 'accuracy' ORDER BY run, dataset = '*', dataset"
    )
    assert rows["accuracy"].to_list() == measure["value"].to_list()
    value = block.groups[0].rows[0][1]
    assert isinstance(value, Number)
    assert value.value == measure["value"][0]
