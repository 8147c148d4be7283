"""What is left of scores when neurons are taken away, beside what their removal costs."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from snql.db import Database
from snql.reporting.context import Context
from snql.reporting.figures import ablation
from snql.reporting.look import look
from snql.reporting.sizing import fitted, measured

from .capability import capability
from .conftest import Builder
from .test_patch_figures import drawn_rows

SWEEP = ((0.01, 0.1), (0.05, 0.3), (0.1, 0.9))
"""Sizes, and effects e: scores are 2 - 4 e."""


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(Path(tmp_path_factory.mktemp("ablation")) / "small.duckdb")
    with database.write() as connection:
        builder = Builder(connection)
        zero: dict[str, object] = {"mode": "zero", "recipient": "demo:safety", "donor": None}
        cut = builder.patch("cut", SWEEP, datasets=("harmful", "benign"), n_controls=4, config=zero)
        large = "UPDATE variants SET control_kind = 'magnitude' WHERE control_seed >= 2 AND run_id = ?"
        connection.execute(large, [cut])
        builder.patch("one-size", ((0.05, 0.3),), config=zero)
        builder.patch("carried", SWEEP)
        set_of = "UPDATE variants SET set_id = 77 WHERE neurons = 'safety:5%' AND run_id = ?"
        connection.execute(set_of, [cut])
        for name, mode in (("old", "zero"), ("text", "zero"), ("kept", "scale:0.5")):
            run_id = capability(builder, name, texts=(f"{name}-text",), model="demo:safety", mode=mode)
            connection.execute(set_of, [run_id])
    with database.reading():
        yield database


def test_scores_and_costs_by_the_number_of_neurons(database: Database) -> None:
    rows = database.frame("FROM figure_ablation WHERE kind = 'set'")
    assert set(rows["run"]) == {"cut"}, "modes with a donor, and one size alone, are no curve"
    for dataset in ("harmful", "benign"):
        found = rows.filter(dataset=dataset).sort("n_neurons").select("n_neurons", "score", "ci_low", "ci_high").rows()
        assert [row[0] for row in found] == [10, 50, 100]
        for (_, *values), (_, effect) in zip(found, SWEEP, strict=True):
            assert values == pytest.approx([2 - 4 * effect, 1.6 - 4 * effect, 2.4 - 4 * effect])
    controls = database.frame("FROM figure_ablation WHERE kind = 'control' AND dataset = 'harmful' AND n_neurons = 50")
    (own,) = rows.filter(dataset="harmful", n_neurons=50).iter_rows(named=True)
    (large,) = database.frame(
        "FROM figure_ablation WHERE kind = 'controls' AND dataset = 'harmful' AND n_neurons = 50"
    ).iter_rows(named=True)
    for row, kind, seeds in ((own, "matched", (0, 1)), (large, "magnitude", (2, 3))):
        scores = controls.filter(control_kind=kind)["score"].to_list()
        assert scores == pytest.approx([2 - 4 * (0.02 * seed + 0.1 * 0.3 - 0.05) for seed in seeds])
        assert row["n_controls"] == 2 and row["control_mean"] == pytest.approx(sum(scores) / 2)
        assert (row["control_min"], row["control_max"]) == pytest.approx((min(scores), max(scores)))
    (cost,) = rows.filter(measure="perplexity").iter_rows(named=True)
    assert (cost["dataset"], cost["n_neurons"], cost["mean_recipient"]) == ("perplexity of text-text", 50, 1)
    assert (cost["score"], cost["ci_low"], cost["ci_high"]) == pytest.approx((1.1, 1.09, 1.12))
    (beside,) = database.frame("FROM figure_ablation WHERE kind = 'control' AND measure = 'perplexity'").iter_rows(
        named=True
    )
    assert (beside["control_kind"], beside["n_neurons"]) == ("matched", 50)
    assert beside["score"] == pytest.approx(1.15) == cost["control_mean"]


def test_the_caption_says_how_few_suffice(database: Database) -> None:
    context = Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    frame = database.frame(ablation.FIGURE.query)
    drawing, _, drawn = fitted(lambda style: ablation.FIGURE.draw(frame, context, style), look("paper", "column"))
    assert measured(drawn)[0] <= 1.02 * look("paper", "column").width
    # 2 - 4 * 0.1 is as far from 2 as its interval reaches, 2 - 4 * 0.3 is farther.
    assert (
        "cut, harmful: 50 neurons (5.00%) are the fewest whose interval leaves out the unpatched 2.00"
        in drawing.caption
    )
    assert "whose neurons are set to zero" in drawing.caption
    unmoved = frame.with_columns(ci_low=pl.col("mean_recipient") - 1, ci_high=pl.col("mean_recipient") + 1)
    words = fitted(lambda style: ablation.FIGURE.draw(unmoved, context, style), look("paper", "column"))[0].caption
    assert "cut, harmful: no set's interval leaves out the unpatched score." in words
    assert "Mean scores by cost (higher is worse) of the model" in drawing.caption
    assert "are those of perplexity runs with the same sets" in drawing.caption
    assert "Beside them random sets whose neurons are as large as the set's" in drawing.caption
    assert {row["label"] for row in drawn_rows(drawing.chart) if "label" in row} >= {
        "random sets (points, mean, range)",
        "random sets, neurons as large",
    }
