"""The rows behind every figure, against the same numbers computed by hand."""

import math
from pathlib import Path

import altair as alt
import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.db import Database
from snql.reporting import charts
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES, effect_size, overlap
from snql.reporting.kit import rows as kit
from snql.reporting.kit.axes import effect_limits
from snql.reporting.kit.figure import Figure
from snql.reporting.look import look

from .conftest import Builder, neuron_frame
from .test_filled import ELSEWHERE

SHAPE = (6, 200)


def scores(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(-2, 1, shape)


@pytest.fixture(scope="module")
def located(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """Runs a and b of one shape, with ties in b; run c of another shape."""
    database = Database(tmp_path_factory.mktemp("located") / "x.duckdb")
    with database.write() as connection:
        builder = Builder(connection)
        builder.locate("a", scores(1))
        builder.locate("b", (scores(1) * scores(2)).round(3))
        builder.locate("c", scores(3, (4, 50)), n_skipped=2)
    return database


def ranked(values: np.ndarray, n_skipped: int = 1) -> pl.DataFrame:
    return neuron_frame(values, n_skipped).filter(pl.col("rank").is_not_null())


def rows(database: Database, name: str) -> pl.DataFrame:
    return database.frame(next(figure.query for figure in FIGURES if figure.name == name))


def test_layers_count_neurons_of_each_band(located: Database) -> None:
    frame = rows(located, "layers").filter(pl.col("run") == "a")
    neurons = ranked(scores(1))
    for band, (low, high) in {1: (0, 10), 2: (10, 50), 3: (50, 100), 4: (100, 200)}.items():
        inside = neurons.filter((pl.col("rank") > low) & (pl.col("rank") <= high))
        expected = {layer: inside.filter(pl.col("layer") == layer).height for layer in range(5)}
        found = frame.filter(pl.col("band") == band)
        assert dict(found.select("layer", "n_neurons").iter_rows()) == expected
        assert found["share"].sum() == pytest.approx(1)
        assert found["share"].to_list() == pytest.approx([n / (high - low) for n in expected.values()])
    assert frame["uniform"].unique().to_list() == pytest.approx([1 / 5])
    assert frame.filter(pl.col("layer") == 4)["depth"].unique().to_list() == pytest.approx([4 / 5])


def test_scores_have_the_knee_and_skewness_of_the_formulas(located: Database) -> None:
    for name, values, n_skipped in (("a", scores(1), 1), ("c", scores(3, (4, 50)), 2)):
        frame = rows(located, "scores").filter(pl.col("run") == name)
        ordered = np.sort(values[:-n_skipped].ravel())[::-1]
        n = len(ordered)
        across = np.arange(n) / (n - 1)
        down = (ordered - ordered[-1]) / (ordered[0] - ordered[-1])
        # Distance of each point from the line between (0, 1) and (1, 0), by the formula for a point and a line.
        distance = (1 - across - down) / math.sqrt(2)
        knee = int(np.argmax(distance))
        first = frame.row(0, named=True)
        assert (first["knee_rank"], first["knee_score"]) == (knee + 1, pytest.approx(ordered[knee]))
        assert first["skewness"] == pytest.approx(stats.skew(ordered, bias=False))
        assert first["threshold"] == pytest.approx(ordered[round(0.05 * n) - 1])
        assert frame["n_neurons"].sum() == n


def test_scores_bins_are_a_histogram_of_the_logarithms(located: Database) -> None:
    frame = rows(located, "scores").filter(pl.col("run") == "a")
    counts, edges = np.histogram(np.log10(scores(1)[:-1].ravel()), bins=40)
    expected = {index: int(count) for index, count in enumerate(counts) if count}
    assert dict(frame.select("bin", "n_neurons").iter_rows()) == expected
    assert frame["bin_low"].to_list() == pytest.approx([10 ** edges[index] for index in expected])
    assert frame["bin_high"].to_list() == pytest.approx([10 ** edges[index + 1] for index in expected])


def test_scores_without_a_spread_have_no_knee(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            Builder(connection).locate("flat", np.full((3, 20), 0.5))
            Builder(connection, seed=1)
        (row,) = rows(database, "scores").iter_rows(named=True)
    assert (row["knee_rank"], row["skewness"], row["n_neurons"], row["threshold"]) == (None, None, 40, 0.5)


def test_overlap_against_sets_and_scipy(located: Database) -> None:
    (row,) = rows(located, "overlap").iter_rows(named=True)
    assert (row["run_a"], row["run_b"], row["k"], row["n_ranked"]) == ("a", "b", 50, 1000)
    a, b = ranked(scores(1)), ranked((scores(1) * scores(2)).round(3))
    top = [set(frame.filter(pl.col("rank") <= 50).select("layer", "neuron").iter_rows()) for frame in (a, b)]
    common = top[0] & top[1]
    assert row["n_common"] == len(common)
    assert row["overlap"] == pytest.approx(len(common) / 50)
    assert row["jaccard"] == pytest.approx(len(common) / len(top[0] | top[1]))
    assert row["chance"] == pytest.approx(0.05)
    both = a.join(b, on=["layer", "neuron"], suffix="_b")
    assert row["spearman_all"] == pytest.approx(stats.spearmanr(both["score"], both["score_b"]).statistic)
    shared = both.filter(pl.struct("layer", "neuron").is_in([{"layer": x, "neuron": y} for x, y in common]))
    assert shared.height == len(common) >= 3
    assert row["spearman_common"] == pytest.approx(stats.spearmanr(shared["score"], shared["score_b"]).statistic)


def test_overlap_takes_the_largest_group_of_one_shape_and_names_the_rest(located: Database) -> None:
    frame = rows(located, "overlap")
    context = Context(located.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    assert overlap.comparable(frame) == ["a", "b"]
    assert (
        "Left out, because they rank neurons of other models or layers, or runs are too many: c."
        in overlap.FIGURE.draw(frame, context, look()).caption
    )


def pairs(*names: tuple[str, str]) -> pl.DataFrame:
    return pl.DataFrame(names, schema=["run_a", "run_b"], orient="row")


def test_comparable_prefers_many_runs_then_names() -> None:
    assert overlap.comparable(pairs(("y", "z"), ("a", "b"))) == ["a", "b"]
    three = pairs(("x", "y"), ("x", "z"), ("y", "z"), ("a", "b"))
    assert overlap.comparable(three) == ["x", "y", "z"]


@pytest.fixture(scope="module")
def patched(tmp_path_factory: pytest.TempPathFactory) -> Database:
    """A sweep with an undefined step on two data sets, and a run of one size."""
    database = Database(tmp_path_factory.mktemp("patched") / "x.duckdb")
    with database.write() as connection:
        builder = Builder(connection)
        builder.patch("sweep", ((0.01, 0.2), (0.05, None), (0.1, 0.9)), datasets=("x", "y"), judges=("z", "a"))
        builder.patch("single", ((0.05, 0.4),), judges=("z", "a"), config={"judges": None})
    return database


def test_effects_summarise_their_own_controls(patched: Database) -> None:
    controls = patched.frame("SELECT * FROM causal_effects WHERE control_seed IS NOT NULL")
    for row in patched.frame("SELECT * FROM figure_effects").iter_rows(named=True):
        own = controls.filter(
            (pl.col("run") == row["run"])
            & (pl.col("control_of") == row["variant"])
            & (pl.col("judge") == row["judge"])
            & (pl.col("dataset") == row["dataset"])
        )["effect"]
        assert (row["n_controls"], row["n_controls_defined"]) == (3, own.count())
        assert (row["control_mean"], row["control_min"], row["control_max"]) == pytest.approx(
            (own.mean(), own.min(), own.max())
        )
        reaching = 0 if row["effect"] is None else own.filter(own >= row["effect"]).len()
        assert row["n_controls_reaching"] == reaching


def test_main_set_is_five_percent_if_defined_else_the_largest_defined(patched: Database) -> None:
    main = patched.frame("SELECT DISTINCT run, variant FROM figure_effects WHERE headline ORDER BY run")
    assert main.rows() == [("single", "safety:5%"), ("sweep", "safety:10%")]


def test_judges_stand_in_the_order_of_the_configuration_else_by_name(patched: Database) -> None:
    frame = patched.frame("SELECT run, judge FROM figure_judges ORDER BY run, position")
    # Completions of both runs are also scored by the judge that the builder always uses.
    assert frame.rows() == [
        ("single", "a"),
        ("single", "cost"),
        ("single", "z"),
        ("sweep", "z"),
        ("sweep", "a"),
        ("sweep", "cost"),
    ]


def test_effect_size_shows_sweeps_by_their_first_judge(patched: Database) -> None:
    frame = rows(patched, "effect-size")
    effects = patched.frame("SELECT * FROM causal_effects WHERE run = 'sweep' AND judge = 'z'")
    assert set(frame["run"]) == {"sweep"} and set(frame["judge"]) == {"z"}
    keys = ["dataset", "variant", "n_neurons", "effect", "ci_low", "ci_high", "control_seed"]
    expected = effects.select(keys).sort(keys)
    assert frame.select(keys).sort(keys).equals(expected)
    assert frame.filter(pl.col("kind") == "control").height == 3 * 3 * 3


def test_effect_size_says_how_many_effects_are_undefined(patched: Database) -> None:
    context = Context(patched.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    drawing = effect_size.FIGURE.draw(rows(patched, "effect-size"), context, look())
    # One set and its three controls, on two data sets and on both together.
    assert "12 effects of 36 are undefined and not drawn" in drawing.caption
    drawn = [row for data in charts.specification(drawing.chart)["datasets"].values() for row in data]
    assert all(row["effect"] is not None for row in drawn if row["kind"] != "controls")
    assert len([row for row in drawn if row["kind"] == "set"]) == 6


def test_effect_size_pools_data_sets_when_panels_are_many() -> None:
    frame = pl.DataFrame(
        [
            {"run": f"r{run}", "dataset": dataset, "pooled": dataset == "*"}
            for run in range(20)
            for dataset in ("x", "y", "*")
        ]
    )
    shown = kit.few_panels(frame)
    assert set(shown["dataset"]) == {"*"}
    assert shown["run"].n_unique() == kit.MAX_PANELS
    assert kit.few_panels(frame.head(6)).height == 6


def test_effect_axis_cuts_wide_intervals_but_no_effect() -> None:
    frame = pl.DataFrame({"effect": [1.4, None], "ci_low": [-50.0, None], "ci_high": [60.0, None]})
    low, high = effect_limits(frame)
    assert -1.2 < low < -1 and 2.4 < high < 2.6


def test_transfer_shows_runs_with_several_data_sets(patched: Database) -> None:
    frame = rows(patched, "transfer")
    expected = patched.frame(
        "SELECT dataset, effect FROM causal_effects WHERE run = 'sweep' AND judge = 'z' AND variant = 'safety:10%'"
    )
    assert frame.select("dataset", "effect").rows() == expected.sort("dataset").rows()


def test_tax_has_every_judge(patched: Database) -> None:
    frame = rows(patched, "tax")
    assert frame.filter(pl.col("run") == "single")["judge"].to_list() == ["a", "z"]
    for row in frame.iter_rows(named=True):
        assert row["mean_patched"] - row["mean_recipient"] == pytest.approx(row["change"])
        assert row["mean_donor"] - row["mean_recipient"] == pytest.approx(row["gap"])


@pytest.mark.parametrize("figure", FIGURES, ids=lambda figure: figure.name)
def test_captions_name_the_runs_and_their_settings(database: Database, figure: Figure) -> None:
    if figure.name in ELSEWHERE:
        pytest.skip("drawn in test_filled.py")
    context = Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    drawing = figure.draw(database.frame(figure.query), context, look())
    assert isinstance(drawing.chart, alt.TopLevelMixin)
    drawing.chart.to_dict()  # with all of Altair's checks, which a report leaves out
    # What a guard was trained on names one model, and its intervals have a seed.
    guarded = figure.name in ("guard", "guard-costs")
    for words in ("demo:sft", "seed 7" if guarded else "seed 0", "prompts"):
        assert words in drawing.caption
    assert ("demo:safety" in drawing.caption) == (figure.name != "guard")
    if figure.name in ("verdicts", "trace"):
        assert "95 % Wilson interval" in drawing.caption
    elif figure.name == "judges":
        assert "95 % bootstrap interval over prompts (2,000 resamples, seed 0)" in drawing.caption
    elif figure.name in ("effect-size", "routes", "transfer", "tax", "guard", "guard-costs"):
        assert "95 % bootstrap intervals over prompts (2,000 resamples, seed 7)" in drawing.caption
    elif figure.name == "graded-effects":
        assert "95 % intervals over prompts (Fieller's)" in drawing.caption
    else:
        assert "400 tokens (generating positions)" in drawing.caption
