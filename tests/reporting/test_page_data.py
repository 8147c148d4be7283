"""What the page holds of neurons, completions and tokens, against plain Python and the database's own rows."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from snql.db import Database
from snql.neurons.sets import Shape
from snql.reporting import heat, neuron_rows, writings
from snql.reporting.sources import figures, sources

from ..neuron_pages.made import add_run, add_tokens
from .conftest import Builder, neuron_frame
from .shared import made_once

pytestmark = pytest.mark.usefixtures("lingering")

SHAPE = (4, 60)


def scores(seed: int, shape: tuple[int, int] = SHAPE) -> np.ndarray:
    return np.random.default_rng(seed).lognormal(0, 1, shape)


@pytest.fixture
def located(db: Database) -> Database:
    """Runs a and b of one shape, c of another."""
    with db.write() as connection:
        builder = Builder(connection)
        builder.locate("a", scores(1))
        builder.locate("b", scores(2))
        builder.locate("c", scores(3, (3, 40)))
    return db


def test_neurons_are_the_top_of_each_run_with_their_ranks_in_the_others(
    located: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neuron_rows, "MAX_NEURONS", 90)
    found = neuron_rows.read(sources(located))
    assert found is not None
    ranked = {name: neuron_frame(scores(seed), 1) for name, seed in (("a", 1), ("b", 2))}
    for place, name in enumerate(("a", "b")):
        rows = found.frame.filter(pl.col("run") == place)
        other = {(layer, n): rank for layer, n, rank in ranked["ba"[place]].select("layer", "neuron", "rank").rows()}
        expected = ranked[name].filter(pl.col("rank") <= 30).sort("rank")
        assert rows.select("layer", "neuron").rows() == expected.select("layer", "neuron").rows()
        assert rows["score"].to_list() == pytest.approx(expected["score"].to_list())
        assert rows[f"rank_{1 - place}"].to_list() == [other[key] for key in rows.select("layer", "neuron").rows()]
        assert rows["rank_2"].null_count() == 30
    n_left = 2 * (3 * 60 - 30) + (2 * 40 - 30)
    assert f"{n_left} ranked neurons of lower ranks are left out" in found.left_out
    assert found.left_out.endswith("ORDER BY rank' -p run=a")


def test_the_data_of_neurons_are_columns_of_the_same_length(located: Database) -> None:
    found = neuron_rows.read(sources(located))
    assert found is not None and found.left_out == ""
    data = json.loads(json.dumps(found.data()))
    n_rows = 2 * 3 * 60 + 2 * 40
    assert {name: len(data[name]) for name in ("run", "rank", "score", "mean_after")} == dict.fromkeys(
        ("run", "rank", "score", "mean_after"), n_rows
    )
    assert data["expert"] is None and [len(ranks) for ranks in data["ranks"]] == [n_rows] * 3
    assert data["score"] == [float(f"{value:.4g}") for value in found.frame["score"]]


def test_experts_have_their_names(db: Database) -> None:
    add_run(db, "mixed", Shape(2, 24, 4), 5)
    add_run(db, "twin", Shape(2, 24, 4), 6)
    found = neuron_rows.read(sources(db))
    assert found is not None
    first = found.first(1)[0]
    assert first["name"] == f"L{first['layer']}.E{first['expert']}.N{first['neuron']}"
    own = db.rows("SELECT layer, expert, neuron, rank FROM neuron_scores WHERE run = 'twin'")
    ranks = {(layer, expert, neuron): rank for layer, expert, neuron, rank in own}
    rows = found.frame.filter(pl.col("run") == 0)
    assert rows["rank_1"].to_list() == [ranks[key] for key in rows.select("layer", "expert", "neuron").rows()]


def test_numbers_are_short_and_never_infinite() -> None:
    values = pl.Series([0.123456, 2.0, -1234567.0, 1e-9, float("inf"), float("nan"), None])
    assert figures(values) == [0.1235, 2, -1235000, 1e-9, None, None, None]


def test_completions_stand_side_by_side(database: Database) -> None:
    found = writings.read(sources(database))
    assert found is not None
    first = found.runs[0]
    assert (first.run, first.judges, first.prompts) == ("sweep", ("cost",), (("d", "hello"), ("d", "good morning")))
    # The builder writes "text VARIANT PROMPT" and scores it by the variant; sets come before their three controls.
    assert [(v.role, v.name) for v in first.variants] == [
        *(("recipient", "recipient"), ("patched", "safety:5%"), ("patched", "safety:1%"), ("patched", "safety:10%")),
        ("donor", "donor"),
    ]
    assert [[int(str(text).split()[1]) for text in v.texts] for v in first.variants] == [
        [n, n] for n in (0, 6, 2, 10, 1)
    ]
    assert [v.scores for v in first.variants] == [((float(n), float(n)),) for n in (0, 6, 2, 10, 1)]
    n_controls = 2 * 9 + 6 * 9
    assert f"{n_controls} completions are left out, {n_controls} of them of random controls" in found.left_out


@made_once
def crowd(path: Path, seed: int = 0) -> Database:
    """A run of 40 prompts on two data sets with four sets, and one of two prompts."""
    made = Database(path)
    with made.write() as connection:
        builder = Builder(connection, seed)
        sizes = ((0.01, 0.1), (0.02, 0.2), (0.05, 0.5), (0.1, 0.9))
        texts = [f"prompt {n}" for n in range(20)]
        builder.patch("large", sizes, n_controls=0, datasets=("x", "y"), texts=texts)
        builder.patch("small", sizes[:1], n_controls=0)
    return made


@pytest.fixture
def crowded(tmp_path: Path) -> Database:
    return crowd(tmp_path / "crowded.duckdb")


@pytest.mark.parametrize(
    ("most", "n_prompts", "n_sets"), [(1_000, 40, 4), (206, 40, 3), (166, 40, 2), (126, 40, 1), (66, 20, 1), (9, 1, 3)]
)
def test_what_does_not_fit_is_left_out_fairly(
    crowded: Database, monkeypatch: pytest.MonkeyPatch, most: int, n_prompts: int, n_sets: int
) -> None:
    monkeypatch.setattr(writings, "MAX_COMPLETIONS", most)
    found = writings.read(sources(crowded))
    assert found is not None
    large, small = found.runs
    assert (len(large.prompts), len(large.of("patched"))) == (n_prompts, n_sets)
    assert large.of("patched")[0].name == "safety:5%"
    datasets = [dataset for dataset, _ in large.prompts]
    assert abs(datasets.count("x") - datasets.count("y")) <= 1
    assert found.n_completions == n_prompts * (n_sets + 2) + len(small.prompts) * 3 <= most
    n_left = 40 * 6 + 2 * 3 - found.n_completions
    assert (f"{n_left} completions are left out" in found.left_out) is (n_left > 0)


def test_texts_are_stored_once_and_cut_where_they_are_too_long(
    crowded: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with crowded.write() as connection:
        connection.execute("UPDATE completions SET text = repeat('é', 5000) WHERE variant_id = 0")
    monkeypatch.setattr(writings, "MAX_BYTES", 9_000)
    found = writings.read(sources(crowded))
    assert found is not None
    data = found.data()
    assert len(data["texts"]) == len(set(data["texts"]))
    assert sum(len(json.dumps(text)) for text in data["texts"]) <= 9_000
    cut = data["texts"][data["runs"][0]["variants"][0]["texts"][0]]
    assert cut.startswith("éééé") and cut.endswith(writings.CUT)
    assert f"42 long texts end with{writings.CUT}" in found.left_out


def test_heat_maps_show_the_tokens_that_change_most(db: Database) -> None:
    made = add_run(db, "kept", Shape(3, 20), 1)
    ranked = made.statistics.sort("rank", nulls_last=True).select("layer", "neuron").rows()
    kept = [(layer, None, neuron) for layer, neuron in (ranked[0], ranked[2], ranked[30])]
    add_tokens(db, made, "rows", list(kept), ["one", " two"])
    maps = heat.read(sources(db))
    # Rank 31 is beyond those that are looked at.
    assert [(each.place.layer, None, each.place.neuron) for each in maps] == kept[:2]
    assert [each.rank for each in maps] == [1, 3]
    for each, place in zip(maps, kept, strict=False):
        before, after = made.values[place]
        assert each.scale == pytest.approx(max(np.abs(before).max(), np.abs(after).max()))
        prompts = np.array([prompt for prompt, *_ in made.tokens])
        largest = {prompt: np.abs(after - before)[prompts == prompt].max() for prompt in set(prompts.tolist())}
        expected = sorted(largest.values(), reverse=True)[:2]
        shown = [example.tokens[example.peak] for example in each.examples]
        assert [abs((token.after or 0) - (token.before or 0)) for token in shown] == pytest.approx(expected)


def test_without_kept_activations_there_are_no_heat_maps(located: Database) -> None:
    assert heat.read(sources(located)) == ()
    assert writings.read(sources(located)) is None


def test_an_empty_database_has_nothing_to_show(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as empty:
        empty.initialise()
        assert (neuron_rows.read(sources(empty)), writings.read(sources(empty)), heat.read(sources(empty))) == (
            None,
            None,
            (),
        )


def test_databases_side_by_side_have_labels_and_half_the_room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    databases = []
    for number, name in enumerate(("left", "right")):
        database = Database(tmp_path / f"{name}.duckdb")
        with database.write() as connection:
            builder = Builder(connection)
            builder.locate("a", scores(number))
            builder.locate("b", scores(number + 5))
            builder.patch("moved", n_controls=0)
        databases.append(database)
    monkeypatch.setattr(neuron_rows, "MAX_NEURONS", 80)
    both = sources(databases[0], databases[1:])
    found, written = neuron_rows.read(both), writings.read(both)
    assert found is not None and written is not None
    assert found.runs == found.compared == ("a [left]", "b [left]", "a [right]", "b [right]")
    assert [run.run for run in written.runs] == ["moved [left]", "moved [right]"]
    for number in range(2):
        rows = found.frame.filter(pl.col("run") == 2 * number)
        expected = neuron_frame(scores(number), 1).filter(pl.col("rank") <= 20).sort("rank")
        assert rows.select("layer", "neuron").rows() == expected.select("layer", "neuron").rows()
        known = [rows[f"rank_{place}"].null_count() == 0 for place in range(4)]
        assert known == [place // 2 == number for place in range(4)]
