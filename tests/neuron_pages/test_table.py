"""Neurons of an expression: ranks, order and top tokens against plain Python."""

import math
from collections.abc import Callable
from typing import Any

import pytest

from snql.db.connection import Database
from snql.errors import ExpressionError, InputError
from snql.neuron_pages import describe_neurons
from snql.neurons.sets import Shape
from snql.rankings.saved_sets import save_set

from .conftest import KEPT, KEPT_MIXED, Filled
from .made import Coordinates, Made, add_run, add_tokens

pytestmark = pytest.mark.usefixtures("lingering")

LISTED = ",".join(f"L{layer}.N{neuron}" for layer, _, neuron in [*KEPT, (1, None, 1)])


def _order(made: Made, top: int) -> list[str]:
    """The names of the neurons of ranks 1 to ``top`` of a dense run, from its scores."""
    ranked = made.statistics.filter(made.statistics["rank"].is_not_null())
    rows = sorted(ranked.iter_rows(named=True), key=lambda row: -row["score"])
    return [f"L{row['layer']}.N{row['neuron']}" for row in rows[:top]]


def _top_tokens(made: Made, place: Coordinates, measure: str, most: int) -> list[tuple[str, float]]:
    """The largest value of each different token, the largest in size first."""
    before, after = made.values[place]
    values = {"before": before, "after": after, "change": after - before}[measure]
    best: dict[int, tuple[float, str]] = {}
    for (_, _, token_id, token), value in zip(made.tokens, values, strict=True):
        if not math.isnan(value) and abs(value) > abs(best.get(token_id, (0.0, ""))[0]):
            best[token_id] = (float(value), token)
    ordered = sorted(best.items(), key=lambda item: (-abs(item[1][0]), item[0]))
    return [(token, abs(value)) for _, (value, token) in ordered[:most]]


def test_the_top_of_a_run_in_its_order(dense: Filled) -> None:
    table = describe_neurons(dense.db, "bare:12", limit=5)
    assert table.frame["neuron"].to_list() == _order(dense.bare, 5)
    assert table.frame["rank"].to_list() == [1, 2, 3, 4, 5]
    assert (table.n_found, table.runs, table.shape) == (12, ("bare",), dense.bare.shape)


def test_statistics_are_those_stored(dense: Filled) -> None:
    for row in describe_neurons(dense.db, LISTED, ["kept"]).frame.iter_rows(named=True):
        stored = dense.kept.row((row["layer"], None, row["index"]))
        for name in (
            "score",
            "rank",
            "mean_before",
            "mean_after",
            "mean_difference",
            "std_before",
            "std_after",
            "n_tokens",
        ):
            assert row[name] == stored[name], name


def test_ranks_in_all_runs_that_an_expression_names(dense: Filled) -> None:
    table = describe_neurons(dense.db, "kept:20 | bare:20", limit=60)
    assert table.runs == ("kept", "bare")
    for row in table.frame.iter_rows(named=True):
        place = (row["layer"], None, row["index"])
        assert row["rank"] == dense.kept.row(place)["rank"]
        assert row["rank_bare"] == dense.bare.row(place)["rank"]
    assert describe_neurons(dense.db, "bare:20 & kept:40").runs == ("bare", "kept")
    assert describe_neurons(dense.db, "bare:20 & kept:40", ["kept"]).runs == ("kept",)


def test_the_runs_of_a_saved_set_and_of_no_run(dense: Filled) -> None:
    save_set(dense.db, "top", "bare:3")
    assert describe_neurons(dense.db, "@top").runs == ("bare",)
    assert describe_neurons(dense.db, "L0.N3").runs == ("kept", "bare")


@pytest.mark.parametrize("sort", ["rank", "score", "layer", "difference"])
def test_order(dense: Filled, sort: str) -> None:
    rows = describe_neurons(dense.db, "all", ["kept"], sort=sort, limit=60).frame.rows(named=True)
    keys: dict[str, Callable[[dict[str, Any]], tuple[Any, ...]]] = {
        "rank": lambda row: (row["rank"] is None, row["rank"], row["layer"], row["index"]),
        "score": lambda row: (-row["score"], row["layer"], row["index"]),
        "layer": lambda row: (row["layer"], row["index"]),
        "difference": lambda row: (-abs(row["mean_difference"]), row["layer"], row["index"]),
    }
    assert len(rows) == 60
    assert rows == sorted(rows, key=lambda row: tuple(-1 if part is None else part for part in keys[sort](row)))


@pytest.mark.parametrize("measure", ["after", "before", "change"])
def test_top_tokens(dense: Filled, measure: str) -> None:
    table = describe_neurons(dense.db, LISTED, tokens=3, tokens_by=measure)
    assert (table.token_run, table.measure) == ("kept", measure)
    found = {row["neuron"]: row["tokens"] for row in table.frame.iter_rows(named=True)}
    assert found.pop("L1.N1") is None
    for place in KEPT:
        tokens = found[f"L{place[0]}.N{place[2]}"]
        assert [(token["token"], abs(token["value"])) for token in tokens] == _top_tokens(dense.kept, place, measure, 3)
        for token in tokens:
            values = {"before": token["before"], "after": token["after"], "change": token["after"] - token["before"]}
            assert token["value"] == values[measure]


def test_top_tokens_of_experts(mixed: Filled) -> None:
    names = {f"L{layer}.E{expert}.N{neuron}": (layer, expert, neuron) for layer, expert, neuron in KEPT_MIXED}
    others = "L0.E1.N1"
    table = describe_neurons(mixed.db, ",".join([*names, others]), ["kept"], tokens=4)
    found = {row["neuron"]: row for row in table.frame.iter_rows(named=True)}
    assert found.pop(others)["tokens"] is None
    for name, place in names.items():
        tokens = found[name]["tokens"]
        assert [(token["token"], abs(token["value"])) for token in tokens] == _top_tokens(mixed.kept, place, "after", 4)
        assert found[name]["score"] == mixed.kept.row(place)["score"]


def test_tokens_that_are_not_kept_or_not_wanted(dense: Filled) -> None:
    for table in (
        describe_neurons(dense.db, "bare:5"),
        describe_neurons(dense.db, LISTED, tokens=0),
        describe_neurons(dense.db, "L1.N1"),
    ):
        assert table.token_run is None
        assert table.frame["tokens"].null_count() == len(table.frame)


def test_expressions_that_cannot_be_shown(dense: Filled) -> None:
    with pytest.raises(InputError, match="names no neuron"):
        describe_neurons(dense.db, "L0.N3 & L0.N4")
    with pytest.raises(ExpressionError, match="no finished locate run 'zzz'"):
        describe_neurons(dense.db, "kept:5 | zzz:5")
    with pytest.raises(InputError, match="no finished locate run 'zzz'"):
        describe_neurons(dense.db, "zzz:5")
    with pytest.raises(InputError, match="no L7.N0"):
        describe_neurons(dense.db, "L7.N0")
    add_run(dense.db, "wide", Shape(3, 30), 5)
    with pytest.raises(InputError, match="choose with `run`"):
        describe_neurons(dense.db, "L0.N3")
    with pytest.raises(ExpressionError, match="'wide' is of a model with 3x30 neurons, this one has 3x20"):
        describe_neurons(dense.db, "wide:5", ["bare"])
    assert describe_neurons(dense.db, "L0.N25", ["wide"]).frame["neuron"].to_list() == ["L0.N25"]


@pytest.mark.parametrize("wrong", [{"sort": "size"}, {"limit": 0}, {"tokens": -1}, {"tokens_by": "both"}])
def test_options_that_are_none(dense: Filled, wrong: dict[str, int | str]) -> None:
    ((name, value),) = wrong.items()
    with pytest.raises(InputError, match=f"`{name}` '?{value}"):
        describe_neurons(dense.db, "all", **wrong)  # type: ignore[arg-type]


def test_a_database_without_runs(db: Database) -> None:
    db.initialise()
    with pytest.raises(InputError, match="run `snql locate` first"):
        describe_neurons(db, "all")


def test_tokens_of_one_run_are_not_those_of_another(dense: Filled) -> None:
    add_tokens(dense.db, dense.bare, "rows", KEPT, ["other", "words"], n_prompts=12)
    for made in (dense.kept, dense.bare):
        table = describe_neurons(dense.db, LISTED, [made.name], tokens=3)
        assert table.token_run == made.name
        found = {row["neuron"]: row["tokens"] for row in table.frame.iter_rows(named=True)}
        for place in KEPT:
            tokens = found[f"L{place[0]}.N{place[2]}"]
            assert [(one["token"], abs(one["value"])) for one in tokens] == _top_tokens(made, place, "after", 3)
