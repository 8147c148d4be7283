"""Figures of locate runs and activations: their rows against NumPy, SciPy, Polars and `snql stability`."""

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.contrast.locate import locate
from snql.db import Database
from snql.reporting import charts
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES, activations, intervals, shift, stability, tokens, volcano
from snql.reporting.kit.rows import neuron_names
from snql.reporting.look import look
from snql.stats.overlap import correlation
from snql.stats.resampling import scores_of, spearman_brown, top_of

from ..contrast.test_locate import options
from .conftest import Builder, neuron_frame

SHAPE = (5, 60)
N_RANKED = 4 * 60
N_PROMPTS = 9
TEXT = [" Sure", ",", "\n", " a", "<b>", "\x1b[31m", "   ", "x" * 50, "", "\u202e", "é", " to", " do", " it", "."]


def scores(seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).lognormal(-2, 1, SHAPE)
    values[0, :20] = 0  # equal scores: ties in every half
    return values


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """Run a has sums, intervals and tokens, and statistics of its own for each neuron; run b nothing of it."""
    with Database(tmp_path_factory.mktemp("neurons") / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            located = builder.locate("a", scores(1))
            builder.sums(located, N_PROMPTS)
            # Of some neurons no token of half of the prompts: they are unknown in a half of some splits.
            connection.execute("DELETE FROM prompt_sums WHERE neuron = 30 AND prompt_id % 3 > 0")
            builder.kept(located, TEXT)
            builder.locate("b", scores(2), n_skipped=0)
            update = "UPDATE neuron_statistics SET {} = (hash(run_id, layer, neuron, '{}') % 2000)::INTEGER / 500 - 2"
            for column in ("mean_before", "mean_after", "mean_difference"):
                connection.execute(update.format(column, column))
            connection.execute("UPDATE neuron_statistics SET std_before = 1 + neuron % 3, std_after = 2 + layer")
            connection.execute("UPDATE neuron_statistics SET std_before = 0, std_after = 0 WHERE neuron = 59")
            connection.execute("UPDATE neuron_statistics SET mean_after = mean_before WHERE rank = 2")
        with database.reading():
            yield database


def rows(database: Database, name: str, run: str = "a") -> pl.DataFrame:
    query = next(figure.query for figure in FIGURES if figure.name == name)
    return database.frame(query).filter(pl.col("run") == run)


def context(database: Database) -> Context:
    return Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))


def drawn(chart: Any) -> list[dict[str, Any]]:
    return [row for data in charts.specification(chart)["datasets"].values() for row in data]


def first_half(database: Database, split: int) -> np.ndarray:
    """1 for the prompts of a split's first half, by the order of the hashes; prompts in order of their ids."""
    query = "SELECT prompt_id, sha256 FROM prompts WHERE prompt_id IN (SELECT prompt_id FROM prompt_sums) ORDER BY 1"
    known = database.rows(query)
    order = sorted(known, key=lambda row: (hashlib.md5(f"{row[1]}:{split}".encode()).hexdigest(), row[0]))
    first = {prompt for prompt, _ in order[: len(order) // 2]}
    return np.array([float(prompt in first) for prompt, _ in known])


def test_stability_of_the_same_halves_in_python(database: Database) -> None:
    frame = rows(database, "stability")
    sums = database.frame("FROM prompt_sums ORDER BY prompt_id")
    prompts = sums["prompt_id"].unique().sort().to_list()
    squared, counts = np.zeros((N_PROMPTS, 300)), np.zeros((N_PROMPTS, 300))
    place = (np.searchsorted(prompts, sums["prompt_id"]), (60 * sums["layer"] + sums["neuron"]).to_numpy())
    squared[place], counts[place] = sums["squared_differences"].to_numpy(), sums["n_tokens"].to_numpy()
    n_unknown = 0
    for split in range(1, 6):
        weights = first_half(database, split)[None]
        a, b = (scores_of(half, squared, counts)[0, :N_RANKED] for half in (weights, 1 - weights))
        known = ~(np.isnan(a) | np.isnan(b))
        n_unknown += int((~known).sum())
        rho = correlation(stats.rankdata(a[known]), stats.rankdata(b[known]))
        mine = frame.filter(pl.col("split") == split)
        assert mine["k"].to_list() == [1, 2, 5, 12, 24, 48]
        for k, n_shared, spearman, reliability in mine.select("k", "n_shared", "spearman", "reliability").iter_rows():
            assert n_shared == len(np.intersect1d(top_of(a, k), top_of(b, k))), (split, k)
            assert (spearman, reliability) == pytest.approx((rho, spearman_brown(rho)))
    assert n_unknown > 0
    assert frame["overlap"].to_list() == pytest.approx((frame["n_shared"] / frame["k"]).to_list())
    assert frame["chance"].to_list() == pytest.approx((frame["k"] / N_RANKED).to_list())
    assert frame["n_prompts"].unique().to_list() == [N_PROMPTS]


def test_stability_draws_mean_range_and_chance(database: Database) -> None:
    frame = rows(database, "stability")
    drawing = stability.FIGURE.draw(frame, context(database), look())
    (top,) = [row for row in drawn(drawing.chart) if row["k"] == 12 and row["label"] == stability.OVERLAP]
    overlaps = frame.filter(pl.col("k") == 12)["overlap"]
    assert (top["value"], top["low"], top["high"]) == pytest.approx((overlaps.mean(), overlaps.min(), overlaps.max()))
    (chance,) = [row for row in drawn(drawing.chart) if row["k"] == 12 and row["label"] == stability.CHANCE]
    assert chance["value"] == pytest.approx(0.05)
    for words in (
        "mean of 5 fixed splits",
        "no confidence interval",
        f"rho {np.mean(frame['spearman'].to_list()):.3f} (",
    ):
        assert words in drawing.caption


def test_stability_needs_sums(database: Database) -> None:
    assert rows(database, "stability", "b").is_empty()
    assert rows(database, "intervals", "b").is_empty()


def test_intervals_are_of_the_highest_ranks(database: Database) -> None:
    frame = rows(database, "intervals")
    expected = neuron_frame(scores(1), 1).filter(pl.col("rank") <= 30).sort("rank")
    assert frame.select("rank", "layer", "neuron").rows() == expected.select("rank", "layer", "neuron").rows()
    assert frame["score"].to_list() == pytest.approx(expected["score"].to_list())
    assert frame["ci_high"].to_list() == pytest.approx([1.2 * score for score in expected["score"]])
    twelfth = np.sort(scores(1)[:4].ravel())[::-1][11]
    assert (frame["threshold"][0], frame["threshold_rank"][0]) == (pytest.approx(twelfth), 12)
    drawing = intervals.FIGURE.draw(frame, context(database), look())
    points = [row for row in drawn(drawing.chart) if "top_share" in row]
    assert len(points) == 30
    assert sum(row["label"] == intervals.SURE for row in points) == (frame["top_share"] >= 0.95).sum() == 5


def test_activations_sort_neurons_by_what_became_of_their_mean(database: Database) -> None:
    frame = rows(database, "activations", "b")
    assert (frame.height, frame["k"][0], frame["n_ranked"][0]) == (15, 15, 300)
    before, after = frame["mean_before"].to_numpy(), frame["mean_after"].to_numpy()
    flips = np.sign(before) * np.sign(after) < 0
    kinds = np.select(
        [flips, np.abs(after) > np.abs(before), np.abs(after) < np.abs(before)], ["flips", "grows", "shrinks"], "same"
    )
    assert frame["change"].to_list() == kinds.tolist()
    assert set(kinds) == {"flips", "grows", "shrinks", "same"}
    stored = database.frame(
        "SELECT mean_before, mean_after FROM neuron_scores WHERE run = 'b' AND rank <= 15 ORDER BY rank"
    )
    assert frame.select("mean_before", "mean_after").equals(stored)
    drawing = activations.FIGURE.draw(frame, context(database), look())
    points = [row for row in drawn(drawing.chart) if row["label"]]
    assert len(points) == 15
    assert f"sign flips in {flips.sum()}" in drawing.caption and "the top 15 (5 % of 300)" in drawing.caption


def test_activations_compress_axes_for_few_large_means(database: Database) -> None:
    frame = rows(database, "activations", "b")
    wide = frame.with_columns(mean_before=pl.when(pl.col("rank") == 1).then(500.0).otherwise("mean_before"))
    for given, kind in ((frame, None), (wide, "symlog")):
        drawing = activations.FIGURE.draw(given, context(database), look())
        layers = charts.specification(drawing.chart)["spec"]["layer"]
        scales = [
            layer["encoding"][axis]["scale"] for layer in layers for axis in ("x", "y") if axis in layer["encoding"]
        ]
        assert {scale.get("type") for scale in scales} == {kind}
        assert len({tuple(scale["domain"]) for scale in scales}) == 1, "the line of no change needs equal axes"
        assert ("logarithmic beyond" in drawing.caption) == (kind == "symlog")


def test_activations_are_at_most_400_of_a_run(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as large:
        with large.write() as connection:
            Builder(connection).locate("large", np.random.default_rng(0).lognormal(0, 1, (11, 900)))
        frame = rows(large, "activations", "large")
        assert (frame.height, frame["k"][0]) == (400, 450)
        caption = activations.FIGURE.draw(frame, context(large), look()).caption
    assert "the first 400 of the top 450 (5 % of 9,000)" in caption


def test_shift_has_the_quantiles_of_each_layer(database: Database) -> None:
    frame = rows(database, "shift")
    stored = database.frame("SELECT layer, score, mean_difference FROM neuron_scores WHERE run = 'a'")
    assert frame["layer"].to_list() == [0, 1, 2, 3, 4]
    for row in frame.iter_rows(named=True):
        mine = stored.filter(pl.col("layer") == row["layer"])
        shifts, layer_scores = mine["mean_difference"].to_numpy(), mine["score"].to_numpy()
        found = [row[f"shift_p{share:02}"] for share in (5, 25, 50, 75, 95)]
        assert found == pytest.approx(np.quantile(shifts, [0.05, 0.25, 0.5, 0.75, 0.95]).tolist())
        assert (row["score_p50"], row["score_p95"]) == pytest.approx(tuple(np.quantile(layer_scores, [0.5, 0.95])))
        assert (row["shift_mean"], row["n_neurons"]) == (pytest.approx(shifts.mean()), 60)
        assert (row["depth"], row["ranked"]) == (pytest.approx(row["layer"] / 4), row["layer"] < 4)
    drawing = shift.FIGURE.draw(frame, context(database), look())
    bands = [(row["start"], row["end"]) for row in drawn(drawing.chart) if "start" in row]
    assert set(bands) == {(0.875, 1.0)}
    assert "layers with scores that the run did not rank: 1 layer (a)" in drawing.caption


def effect_sizes(database: Database, run: str) -> pl.DataFrame:
    pooled = ((pl.col("std_before") ** 2 + pl.col("std_after") ** 2) / 2).sqrt()
    ranked = database.frame("FROM neuron_scores").filter((pl.col("run") == run) & pl.col("rank").is_not_null())
    return ranked.with_columns(d=pl.col("mean_difference") / pooled).sort("rank")


def test_volcano_bins_are_a_histogram_of_effect_sizes_and_scores(database: Database) -> None:
    frame = rows(database, "volcano")
    every = effect_sizes(database, "a")
    defined = every.filter(pl.col("d").is_finite() & (pl.col("score") > 0))
    d, logs = defined["d"].to_numpy(), np.log10(defined["score"].to_numpy())
    top = np.abs(defined.filter(pl.col("rank") <= 40)["d"].to_numpy()).max()
    reach = max(np.quantile(np.abs(d), 0.998), top)
    edges = np.linspace(logs.min(), logs.max(), 25)
    counts, _, _ = np.histogram2d(logs, np.clip(d, -reach, reach), bins=(edges, np.linspace(-reach, reach, 33)))
    bins = frame.filter(pl.col("kind") == "bin")
    expected = {32 * up + across: int(n) for (up, across), n in np.ndenumerate(counts) if n}
    assert dict(bins.select("bin", "n_neurons").iter_rows()) == expected
    assert bins["effect_low"].min() >= -reach and bins["effect_high"].max() == pytest.approx(reach)
    first = frame.row(0, named=True)
    assert first["n_undefined"] == every.height - defined.height > 0
    assert (first["n_ranked"], first["n_beyond"]) == (N_RANKED, int((np.abs(d) > reach).sum()))
    highest = frame.filter(pl.col("kind") == "neuron")
    expected_top = defined.filter(pl.col("rank") <= 40)
    assert highest["rank"].to_list() == expected_top["rank"].to_list()
    assert highest["effect_low"].to_list() == pytest.approx(expected_top["d"].to_list())


def test_volcano_says_what_it_leaves_out(database: Database) -> None:
    frame = rows(database, "volcano")
    caption = volcano.FIGURE.draw(frame, context(database), look()).caption
    assert f"{frame['n_undefined'][0]} neurons without an effect size or with score 0 left out" in caption
    assert "sqrt((std before^2 + std after^2) / 2)" in caption


def test_tokens_are_of_the_first_long_text_and_the_highest_kept_neurons(database: Database) -> None:
    frame = rows(database, "tokens")
    assert frame["token"].unique(maintain_order=True).to_list() == list(dict.fromkeys(TEXT))
    kept = frame.unique("place", maintain_order=True).select("place", "rank", "n_kept", "n_scored")
    assert kept.rows() == [(1, 1, 5, 15), (2, 2, 5, 15), (3, 3, 5, 15)]
    columns = ["position", "layer", "neuron", "before", "after"]
    stored = database.frame("FROM token_activations WHERE run = 'a'").join(
        frame.select("layer", "neuron").unique(), on=["layer", "neuron"]
    )
    assert frame.select(columns).sort(columns).equals(stored.select(columns).sort(columns))


def test_token_strip_is_relative_to_each_neuron(database: Database) -> None:
    frame = rows(database, "tokens")
    drawing = tokens.FIGURE.draw(frame, context(database), look())
    cells = [row for row in drawn(drawing.chart) if "relative" in row]
    assert len(cells) == 3 * 2 * len(TEXT)
    assert {row["relative"] for row in cells if abs(row["relative"]) == 1} <= {-1, 1}
    for name in {row["name"] for row in cells}:
        mine = [row for row in cells if row["name"] == name]
        largest = max(abs(row["activation"]) for row in mine)
        assert [row["relative"] for row in mine] == pytest.approx([row["activation"] / largest for row in mine])
        assert all((row["sign"] == "\u2212") == (row["relative"] <= -tokens.MARKED) for row in mine)
    # The prompt of the builder has one token.
    assert {row["in_prompt"] for row in cells if row["position"] == 0} == {True}
    assert {row["in_prompt"] for row in cells if row["position"] > 0} == {False}


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (" the", "\u00b7the"),
        ("\r\n\n", "\u00b6\u00b6"),
        ("", "\u2026"),
        ("\x1b[31m", "\u241b[31m"),
        ("\u202e", "\ufffd"),
        ("</script>", "</script>"),
        ("a" * 40, "aaaaaa\u2026aaa"),
        (" " * 40, "\u00b7" * 6 + "\u2026" + "\u00b7" * 3),
    ],
)
def test_tokens_are_visible_and_short(text: str, shown: str) -> None:
    assert tokens.token_label(text) == shown


@pytest.mark.parametrize("store", ["rows", "parquet"])
def test_tokens_of_a_real_run_in_both_stores(tmp_path: Path, tiny_llama: Path, tiny_adapter: Path, store: str) -> None:
    with Database(tmp_path / "x.duckdb") as db:
        locate(db, "x", options(tiny_llama, tiny_adapter, keep="10%", store=store))
        frame = rows(db, "tokens", "x")
        prompt = frame["prompt_id"][0]
        stored = db.frame("FROM token_activations").filter(pl.col("prompt_id") == prompt)
        lengths = db.frame("FROM scored_tokens").group_by("prompt_id").len().sort("prompt_id")
    ranked = stored.join(frame.select("layer", "neuron", "rank").unique(), on=["layer", "neuron"])
    keys = ["rank", "position"]
    assert frame["rank"].unique().sort().to_list() == [1, 2, 3]
    assert (
        frame.sort(keys)
        .select(*keys, "token", "before", "after")
        .equals(
            ranked.sort(keys)
            .select(*keys, "token", "before", "after")
            .with_columns(pl.col("rank").cast(frame["rank"].dtype))
        )
    )
    long = lengths.filter(pl.col("len") >= min(12, lengths["len"].max() or 0))
    assert prompt == long["prompt_id"][0]


def test_neurons_of_experts_have_theirs_in_the_name() -> None:
    frame = pl.DataFrame({"layer": [1, 2], "expert": [None, 3], "neuron": [4, 5]})
    assert frame.select(neuron_names()).to_series().to_list() == ["L1.N4", "L2.E3.N5"]


def test_runs_beyond_the_panels_are_counted(database: Database) -> None:
    frame = rows(database, "volcano")
    many = pl.concat([frame.with_columns(run=pl.lit(f"run {number}")) for number in range(9)])
    caption = volcano.FIGURE.draw(many, context(database), look()).caption
    assert "The first 6 runs by name; 3 more runs not drawn (see the CSV file)." in caption
