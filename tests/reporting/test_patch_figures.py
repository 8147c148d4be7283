"""The rows and charts of patch runs, against the same numbers computed by hand."""

import re
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from snql.db import Database
from snql.neurons.syntax import parse
from snql.neurons.tree import Ranked
from snql.reporting import charts, terminal
from snql.reporting.context import Context
from snql.reporting.figures import FIGURES, cross_effects, tax, verdicts, windows
from snql.reporting.kit import rows as kit
from snql.reporting.look import look
from snql.reporting.model import Chart
from snql.reporting.sizing import svg_of
from snql.reporting.tables import TABLES

from .conftest import Builder

EXPRESSIONS = (
    "safety:5%",
    "safety : 5%",
    "safety:2.5%",
    "safety:30",
    "safety:0%..5%",
    "safety:2.55%..7.3%",
    "safety:10..60",
    "a.b-c_1:1000",
    "safety:5% & helpful:5%",
    "random(safety:5%, seed=1)",
    "L1.N2",
    "@mine",
    "all",
    "sql(SELECT 1, 'safety:5%')",
    "safety:5% - helpful:5%",
)


def rows(database: Database, name: str) -> pl.DataFrame:
    return database.frame(next(figure.query for figure in FIGURES if figure.name == name))


def context_of(database: Database) -> Context:
    return Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))


def drawn_rows(chart: Chart) -> list[dict[str, object]]:
    return [row for data in charts.specification(chart)["datasets"].values() for row in data]


def wilson(k: int, n: int) -> tuple[float, float]:
    interval = stats.binomtest(k, n).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "x.duckdb") as database:
        yield database


def test_wilson_interval_is_that_of_scipy(database: Database) -> None:
    database.initialise()
    for k, n in ((0, 1), (1, 1), (0, 40), (40, 40), (17, 40), (1, 100_000)):
        ((found,),) = database.rows("SELECT wilson_interval(?, ?)", [k, n])
        assert (found["low"], found["high"]) == pytest.approx(wilson(k, n), abs=1e-12)
    assert database.rows("SELECT wilson_interval(0, 0)") == [(None,)]


def test_a_part_of_a_ranking_is_read_from_an_expression_as_the_parser_reads_it(database: Database) -> None:
    with database.write() as connection:
        Builder(connection).sets("p", dict.fromkeys(EXPRESSIONS, 0.5))
    frame = database.frame("SELECT neurons, source, low, high, in_percent, is_window FROM figure_sets")
    found = {neurons: tuple(rest) for neurons, *rest in frame.iter_rows()}
    for text in EXPRESSIONS:
        node = parse(text)
        if isinstance(node, Ranked):
            written = (node.run, node.low.value, node.high.value, node.high.percent, ".." in text)
            assert found[text] == written, text
        else:
            assert found[text] == (None,) * 5, text


def test_windows_begin_and_end_where_the_evaluator_cuts_the_ranking(database: Database) -> None:
    texts = ["safety:2.55%..7.3%", "safety:0%..2.55%", "safety:10..60", "safety:0.04%..0.05%"]
    with database.write() as connection:
        builder = Builder(connection)
        builder.locate("safety", np.random.default_rng(1).random((6, 190)))
        builder.sets("w", dict.fromkeys(texts, 0.5))
        builder.sets("one", {"safety:0%..5%": 0.5})
    frame = rows(database, "windows")
    assert frame["variant"].unique().sort().to_list() == sorted(texts)
    for row in frame.iter_rows(named=True):
        node = parse(row["variant"])
        assert isinstance(node, Ranked)
        assert (row["rank_before"], row["rank_last"]) == (node.low.rank(950), node.high.rank(950))
        share = (node.low.value / 100, node.high.value / 100) if node.high.percent else (10 / 950, 60 / 950)
        assert (row["begins"], row["ends"]) == pytest.approx(share)
        assert row["even"] == pytest.approx(50 / 1200)


def test_windows_of_a_lost_ranking_stand_by_rank_or_are_counted(database: Database) -> None:
    with database.write() as connection:
        Builder(connection).sets("w", {"gone:0..10": 0.5, "gone:10..20": 0.2})
    frame = rows(database, "windows")
    assert frame["begins"].null_count() == 2 and frame["rank_before"].to_list() == [0, 10]
    drawing = windows.FIGURE.draw(frame, context_of(database), look())
    assert {row["place"] for row in drawn_rows(drawing.chart) if "place" in row} == {0, 10}
    unplaced = frame.with_columns(rank_before=pl.lit(None, pl.Int32), begins=pl.Series([0.1, None]))
    assert "1 window cannot be placed" in windows.FIGURE.draw(unplaced, context_of(database), look()).caption


def test_cross_effects_compare_equal_amounts_under_equal_settings(database: Database) -> None:
    tops = {"safety:5%": 0.5, "helpful:5%": 0.1, "safety:10%": 0.6, "safety:0%..5%": 0.4, "safety:5% & helpful:5%": 0.3}
    with database.write() as connection:
        builder = Builder(connection)
        builder.sets("there", tops)
        builder.sets("back", {"safety:20": None, "helpful:20": 0.2}, config={"recipient": "demo:safety", "donor": "b"})
        builder.sets("alone", {"safety:5%": 0.5})
        builder.sets("unequal", {"safety:5%": 0.5, "helpful:20": 0.5})
    frame = rows(database, "cross-effects")
    found = frame.select("run", "source", "effect").sort("run", "source").rows()
    assert found == [
        ("back", "helpful", 0.2),
        ("back", "safety", None),
        ("there", "helpful", 0.1),
        ("there", "safety", 0.5),
    ]
    drawing = cross_effects.FIGURE.draw(frame, context_of(database), look())
    assert "1 effect of 4 is undefined" in drawing.caption
    assert ">undefined<" in svg_of(charts.specification(drawing.chart))
    assert {"demo:safety → b", "demo:sft → demo:safety"} == {
        str(row["panel"]).split("\n")[0] for row in drawn_rows(drawing.chart) if "panel" in row
    }


def test_cross_effects_join_runs_with_equal_settings_and_draw_a_set_once(database: Database) -> None:
    with database.write() as connection:
        builder = Builder(connection)
        first = builder.sets("a", {"safety:5%": 0.5, "helpful:5%": 0.1})
        second = builder.sets("b", {"safety:5%": 0.5, "other:5%": 0.2})
        third = builder.sets("c", {"safety:5%": 0.5, "other:5%": 0.9}, config={"max_new_tokens": 7})
        for run_id in (second, third):
            # The prompts of the first run.
            connection.execute("DELETE FROM run_prompts WHERE run_id = ?", [run_id])
            connection.execute(
                "INSERT INTO run_prompts SELECT ?, * EXCLUDE (run_id) FROM run_prompts WHERE run_id = ?",
                [run_id, first],
            )
    frame = rows(database, "cross-effects")
    together = frame.filter(pl.col("run").is_in(["a", "b"]))
    assert together["setup"].n_unique() == 1 and frame["setup"].n_unique() == 2
    once = kit.once(together, "setup", "judge", "source").select("run", "source").sort("source").rows()
    assert once == [("a", "helpful"), ("b", "other"), ("a", "safety")]


LOCATED: dict[str, dict[str, object]] = {
    "base": {},
    "elsewhere": {},
    "writer": {"completions_by": "after"},
    "third": {"completions_by": "demo:base"},
    "given": {"completions": "told.jsonl"},
    "model": {"after": "demo:polite"},
    "places": {"positions": "prompt"},
    "both": {"positions": "prompt", "completions_by": "after"},
    "cut": {"skip_last_layers": 3, "positions": "prompt"},
}
"""Locate runs by what they differ in from the first; the second differs in its prompts."""


def test_locating_compares_runs_that_differ_in_one_respect(database: Database) -> None:
    with database.write() as connection:
        builder = Builder(connection)
        for name, config in LOCATED.items():
            shared = None if name in ("base", "elsewhere") else "base"
            builder.locate(name, np.ones((3, 10)), config=dict(config), prompts_of=shared)
        tops = {f"{name}:{size}%": 0.1 for name, size in product(LOCATED, (5, 10))}
        builder.sets("tops", tops | {"unknown:5%": 0.1}, n_neurons=lambda text: 10 + len(text))

    def respects(one: str, other: str) -> set[str]:
        keys = {
            "prompts": (),
            "positions": ("positions",),
            "pair": ("after", "completions_by", "completions"),
            "": ("skip_last_layers",),
        }
        differing = {
            name
            for name, settings in keys.items()
            if any(LOCATED[one].get(k) != LOCATED[other].get(k) for k in settings)
        }
        return differing | ({"prompts"} if "elsewhere" in (one, other) else set())

    expected: dict[str, set[str]] = {"prompts": set(), "pair": set(), "positions": set()}
    for one, other in product(LOCATED, LOCATED):
        differing = respects(one, other) if one != other else set()
        if len(differing) == 1 and (attribute := differing.pop()) in expected:
            expected[attribute] |= {one, other}
    assert expected["prompts"] == {"base", "elsewhere"}
    for attribute, name in (("prompts", "prompts"), ("pair", "pairs"), ("positions", "positions")):
        frame = rows(database, f"locating-{name}")
        assert set(frame["source"]) == expected[attribute]
        for group in frame.partition_by("comparison"):
            sources = set(group["source"])
            assert all(respects(a, b) <= {attribute} for a, b in product(sources, sources) if a != b)


def test_locating_draws_effects_and_scores_of_each_run(database: Database) -> None:
    with database.write() as connection:
        builder = Builder(connection)
        builder.locate("base", np.ones((3, 10)))
        builder.locate("places", np.ones((3, 10)), config={"positions": "prompt"}, prompts_of="base")
        tops = {"base:5%": 0.1, "base:10%": 0.2, "places:5%": 0.3, "places:10%": 0.4, "places:20%": None}
        builder.sets("tops", tops, n_neurons=lambda text: 10 * int(text.split(":")[1][:-1]))
    figure = next(figure for figure in FIGURES if figure.name == "locating-positions")
    drawing = figure.draw(rows(database, figure.name), context_of(database), look())
    drawn = [row for row in drawn_rows(drawing.chart) if "label" in row]
    assert {(row["label"], row["n_neurons"], row["effect"]) for row in drawn} == {
        ("generating positions", 50, 0.1),
        ("generating positions", 100, 0.2),
        ("prompt positions", 50, 0.3),
        ("prompt positions", 100, 0.4),
        ("prompt positions", 200, None),
    }
    assert all(row["mean_patched"] == pytest.approx(2 - 4 * float(str(row["effect"] or 0))) for row in drawn)
    assert "1 effect of 5 is undefined" in drawing.caption
    assert "400 tokens (prompt positions)" in drawing.caption


SCORES = {
    "recipient": (1.0, 2.0, 3.0, 0.5, -1.0, -2.0, 0.0),
    "donor": (-1.0, -1.0, 1.0, -1.0, -1.0, -1.0, -1.0),
    "safety:5%": (-1.0, 0.0, 1.0, -0.5, 1.0, -1.0, 5.0),
    "other:5%": (1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0),
}


def flows(before: Sequence[float], after: Sequence[float], reward: bool) -> dict[str, int]:
    bad = [[(-value if reward else value) > 0 for value in values] for values in (before, after)]
    names = {
        (True, False): "n_fixed",
        (False, False): "n_kept_good",
        (True, True): "n_kept_bad",
        (False, True): "n_broken",
    }
    return {name: list(zip(*bad, strict=True)).count(pair) for pair, name in names.items()}


@pytest.mark.parametrize("reward", [False, True])
@pytest.mark.parametrize("frozen", [False, True])
def test_verdicts_count_what_patching_changes(database: Database, reward: bool, frozen: bool) -> None:
    with database.write() as connection:
        sets: dict[str, float | None] = {"safety:5%": 0.5, "other:5%": 0.1}
        Builder(connection).sets("p", sets, scores=SCORES, config={"freeze": frozen, "judges": None})
        if reward:
            connection.execute("""INSERT INTO judges VALUES ('cost', 'test', '1', '{"higher_is": "better"}')""")
    frame = rows(database, "verdicts")
    assert frame["variant"].to_list() == ["other:5%", "safety:5%"]
    for row in frame.iter_rows(named=True):
        counts = flows(SCORES["donor" if frozen else "recipient"], SCORES[row["variant"]], reward)
        assert {name: row[name] for name in counts} == counts
        bad, good = counts["n_fixed"] + counts["n_kept_bad"], counts["n_broken"] + counts["n_kept_good"]
        assert row["n_prompts"] == bad + good == 7
        for name, k, n in (("fixed", counts["n_fixed"], bad), ("broken", counts["n_broken"], good)):
            assert row[name] == pytest.approx(k / n)
            assert (row[f"{name}_ci_low"], row[f"{name}_ci_high"]) == pytest.approx(wilson(k, n), abs=1e-12)
    caption = verdicts.FIGURE.draw(frame, context_of(database), look()).caption
    rule = "below 0 by cost (rewards)" if reward else "above 0 by cost (costs)"
    assert rule in caption and ("the donor is patched" in caption) == frozen


def test_verdicts_of_samples_are_those_of_their_mean(database: Database) -> None:
    with database.write() as connection:
        Builder(connection).sets(
            "p", {"safety:5%": 0.5}, scores={"recipient": (1.0,), "donor": (1.0,), "safety:5%": (1.0,)}
        )
        for variant_id, score in ((0, -0.5), (2, -3.0)):
            connection.execute(
                "INSERT INTO judgements SELECT run_id, variant_id, prompt_id, judge, ?, 1, NULL, NULL FROM judgements"
                " WHERE variant_id = ? AND sample = 0",
                [score, variant_id],
            )
    (row,) = rows(database, "verdicts").iter_rows(named=True)
    assert (row["n_prompts"], row["n_fixed"]) == (1, 1)  # means 0.25 and -1


def test_parts_of_a_bar_add_up_and_those_good_after_stand_together(database: Database) -> None:
    with database.write() as connection:
        Builder(connection).sets(
            "p", {"safety:5%": 0.5}, scores={name: SCORES[name] for name in ("recipient", "donor", "safety:5%")}
        )
    drawing = verdicts.FIGURE.draw(rows(database, "verdicts"), context_of(database), look())
    parts = sorted((row for row in drawn_rows(drawing.chart) if "flow" in row), key=lambda row: float(str(row["low"])))
    assert [(row["flow"], row["n"]) for row in parts] == [
        ("kept bad", 1),
        ("fixed", 3),
        ("kept good", 1),
        ("broken", 2),
    ]
    assert [row["high"] for row in parts[:-1]] == pytest.approx([row["low"] for row in parts[1:]])
    assert (parts[0]["low"], parts[-1]["high"]) == pytest.approx((0, 1))


def test_runs_without_a_donor_have_scores_but_no_donor_mark(database: Database) -> None:
    with database.write() as connection:
        builder = Builder(connection)
        builder.sets("kept", {"safety:5%": 0.5})
        run_id = builder.sets("zeroed", {"safety:5%": 0.5, "safety:10%": 0.6}, config={"donor": None, "mode": "zero"})
        connection.execute(
            "UPDATE effects SET mean_donor = NULL, gap = NULL, gap_ci_low = NULL, gap_ci_high = NULL, effect = NULL,"
            " ci_low = NULL, ci_high = NULL WHERE run_id = ?",
            [run_id],
        )
        builder.control_test(run_id, 2)
    frame = rows(database, "tax")
    (row,) = frame.filter(pl.col("run") == "zeroed").iter_rows(named=True)
    assert (row["variant"], row["mode"], row["mean_donor"], row["change"]) == ("safety:5%", "zero", None, -2)
    drawing = tax.FIGURE.draw(frame, context_of(database), look())
    marks = {(row["run"], row["role"]) for row in drawn_rows(drawing.chart) if "role" in row}
    assert marks == {
        ("kept", "recipient"),
        ("kept", "patched"),
        ("kept", "donor"),
        ("zeroed", "recipient"),
        ("zeroed", "patched"),
        ("zeroed", "random sets"),
    }
    assert "recipient demo:sft, no donor, mode zero" in drawing.caption
    assert "Of 1 row with random sets, 1 differs from them at p < 0.05" in drawing.caption
    text = "\n".join(terminal.draw(database, ("tax",), 110).splitlines())
    assert re.search(r"zeroed.*\n.*\n.*2\.00 +0\.00 +\u2013 +\u22122\.00", text)
    table = next(table for table in TABLES if table.name == "controls")
    (cells,) = table.cells(database.frame(table.query)).iter_rows(named=True)
    shown = ("run", "random mean", "difference", "p, sign flips", "p, paired t", "share of the gap")
    assert [cells[name] for name in shown] == ["zeroed", 1.5, -1.5, 0.02, 0.01, None]


def test_trace_counts_changed_tokens_step_by_step(database: Database) -> None:
    steps = {
        "safety:5%": ([1, 2, 3, 4], [1, 9, 3, 9], [8, 2, 3, 4]),
        "random(safety:5%, seed=1)": ([1, 2], [1, 9], [1, 9]),
    }
    with database.write() as connection:
        builder = Builder(connection)
        run_id = builder.sets("p", {"safety:5%": 0.5, "safety:10%": 0.5}, steps={"safety:5%": steps["safety:5%"]})
        (ids,) = zip(
            *connection.execute("SELECT prompt_id FROM run_prompts WHERE run_id = ?", [run_id]).fetchall(), strict=True
        )
        connection.execute(
            "UPDATE completions SET token_ids = [1, 2], unpatched_ids = [7, 2], donor_ids = [1, 9]"
            " WHERE run_id = ? AND variant_id = 2 AND prompt_id = ?",
            [run_id, max(ids)],
        )
        tokens, unpatched, donor = steps["random(safety:5%, seed=1)"]
        connection.execute(
            "INSERT INTO completions VALUES (?, 3, ?, 'x', ?, 'stop', 0, ?, ?)",
            [run_id, min(ids), tokens, donor, unpatched],
        )
    frame = rows(database, "trace")
    assert frame["variant"].unique().to_list() == ["safety:5%"]
    written = {"set": [steps["safety:5%"], ([1, 2], [7, 2], [1, 9])], "controls": [steps["random(safety:5%, seed=1)"]]}
    for row in frame.iter_rows(named=True):
        texts = [text for text in written[row["kind"]] if len(text[0]) >= row["step"]]
        at = [tuple(part[row["step"] - 1] for part in text) for text in texts]
        changed = sum(token != unpatched for token, unpatched, _ in at)
        assert (row["n_completions"], row["n_changed"]) == (len(at), changed)
        assert row["agrees"] == pytest.approx(sum(token == donor for token, _, donor in at) / len(at))
        interval = (row["changed_ci_low"], row["changed_ci_high"])
        assert interval == pytest.approx(wilson(changed, len(at)), abs=1e-12)
    assert frame.select("kind", "step").rows() == [
        ("controls", 1),
        ("controls", 2),
        *(("set", n) for n in (1, 2, 3, 4)),
    ]


def test_hostile_names_stay_inert_in_every_chart(database: Database) -> None:
    hostile = "</text><script>alert(1)</script>\x1b[31m\u202e"
    config: dict[str, object] = {"recipient": hostile, "donor": f"b{hostile}", "mode": f"mean:{hostile}"}
    with database.write() as connection:
        builder = Builder(connection)
        for name, more in (("base", {"before": hostile}), ("after", {"before": hostile, "completions_by": "after"})):
            builder.locate(name, np.ones((3, 10)), config=dict(more), prompts_of="base")
        tops = {"base:5%": 0.1, "base:10%": 0.2, "after:5%": 0.3, "after:10%": 0.4, "base:0..5": 0.1, "base:5..9": 0.1}
        sizes = {text: 10 * place for place, text in enumerate(tops, start=1)}
        builder.sets(hostile, tops, n_neurons=sizes.__getitem__, config=config, steps={"base:5%": ([1], [2], [3])})
    for name in ("cross-effects", "windows", "locating-pairs", "tax", "verdicts", "trace"):
        figure = next(figure for figure in FIGURES if figure.name == name)
        picture = svg_of(charts.specification(figure.draw(rows(database, name), context_of(database), look()).chart))
        assert "alert" in picture or name == "locating-pairs", name
        assert "<script" not in picture and "\x1b" not in picture and "\u202e" not in picture, name
