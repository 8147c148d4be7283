"""A figure is a view, a function that draws it with parts of the kit, and an entry of the registry."""

import sys
from importlib import import_module
from pathlib import Path

import pytest

from snql.reporting import build as building
from snql.reporting.figures import FIGURES
from snql.reporting.options import Parts, ReportOptions

from .conftest import small

MODULE = '''
"""How many neurons of each layer a run ranks."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.kit import axes, captions, marks, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look

MAX_RUNS = 2
TOOLTIP = marks.tooltip("run", "layer", ("n", "ranked", ","))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    shown, runs, n_rest = rows.first_runs(frame, MAX_RUNS)
    labelled = shown.with_columns(label=rows.short(shown, "run", 20))
    found = series.channels(series.marks(rows.runs(labelled, "label"), look), look)
    base = alt.Chart(charts.data(labelled)).encode(x="layer:Q", color=found.color)
    points = marks.points(base, axes.y(title="ranked neurons"), "n", look, shape=found.shape, tooltip=TOOLTIP)
    words = ["Neurons of each layer.", locate_words(context, runs), captions.runs_left_out(len(runs), n_rest)]
    return points.properties(width=look.panel_width(), height=look.height(100)), words


FIGURE = Figure(
    name="ranked",
    view="figure_ranked",
    order=("run", "layer"),
    title="Ranked neurons",
    description="neurons that a run ranks, by layer",
    lacking="no run ranks neurons: run `snql locate`",
    sketch=_sketch,
)
'''
VIEW = "CREATE VIEW figure_ranked AS SELECT run, layer, count(rank) AS n FROM neuron_scores GROUP BY ALL"


def test_a_figure_is_added_with_a_view_a_module_and_an_entry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ranked_figure.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    added = import_module("ranked_figure")
    monkeypatch.delitem(sys.modules, "ranked_figure")
    monkeypatch.setattr(building, "FIGURES", (*FIGURES, added.FIGURE))
    assert len(MODULE.splitlines()) < 60
    with small(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            connection.execute(VIEW)
        assert ("ranked", added.FIGURE.description) in building.catalogue()
        report = building.build(
            database, tmp_path / "out", ReportOptions(formats=("svg", "json")), parts=Parts(("ranked",))
        )
    (figure,) = report.figures
    assert {path.name for path in figure.files} >= {"ranked.svg", "ranked.json", "ranked.csv", "ranked.sql"}
    assert "Runs helpful and other: demo:sft before" in figure.caption and "1 more run not drawn" in figure.caption
    csv = (report.out / "ranked.csv").read_text("utf-8").splitlines()
    # Three runs of six layers of 200 neurons, the last layer of which is not ranked.
    assert len(csv) == 1 + 3 * 6 and sum(int(line.rsplit(",", 1)[1]) for line in csv[1:]) == 3 * 5 * 200
    assert figure.title in report.index.read_text("utf-8")
