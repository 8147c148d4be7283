"""Tables, the summary's sentences, the completions beside each other and the command lines."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from snql.db import Database
from snql.reporting import summary
from snql.reporting.context import Context
from snql.reporting.tables import TABLES, Table, tax
from snql.writing import latex, markdown
from snql.writing.formats import render
from snql.writing.layout import Block, Cell, Column, Estimate, Group, Interval, Number, estimate

from .conftest import Builder, small
from .test_filled import ELSEWHERE


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with small(tmp_path_factory.mktemp("small") / "snql.duckdb") as database:
        yield database


def made(database: Database, name: str) -> pl.DataFrame:
    table = next(table for table in TABLES if table.name == name)
    return table.cells(database.frame(table.query))


def test_top_neurons_are_those_with_the_highest_scores(database: Database) -> None:
    table = made(database, "top-neurons").filter(pl.col("run") == "safety")
    values = np.random.default_rng(0).lognormal(-2, 1, (6, 200))[:-1]
    order = np.argsort(-values, axis=None)[:20]
    assert table["neuron"].to_list() == [f"L{index // 200}.N{index % 200}" for index in order]
    assert table["change score"].to_list() == pytest.approx(values.ravel()[order].tolist())
    assert table["rank"].to_list() == list(range(1, 21))


def test_effects_stand_beside_their_random_sets(database: Database) -> None:
    row = made(database, "effects").filter((pl.col("run") == "sweep") & (pl.col("neurons") == 50)).row(0, named=True)
    controls = [0.02 * seed + 0.1 * 0.8 - 0.05 for seed in range(3)]
    assert (row["effect"], row["from"], row["to"]) == pytest.approx((0.8, 0.7, 0.9))
    assert row["random mean"] == pytest.approx(sum(controls) / 3)
    assert (row["random lowest"], row["random highest"]) == pytest.approx((min(controls), max(controls)))


def test_runs_have_models_and_sizes(database: Database) -> None:
    row = made(database, "runs").filter(pl.col("run") == "safety").row(0, named=True)
    assert (row["before or recipient"], row["after or donor"], row["tokens"]) == ("demo:sft", "demo:safety", 400)
    assert row["ranked neurons"] == 1000


def blocks(database: Database, name: str) -> tuple[Block, ...]:
    table = next(table for table in TABLES if table.name == name)
    return table.blocks(database.frame(table.query))


def rows_of(block: Block, head: str) -> dict[str, tuple[Cell, ...]]:
    """The rows below a heading that contains ``head``, by their first cell."""
    (group,) = [group for group in block.groups if head in group.head]
    return {str(row[0]): row[1:] for row in group.rows}


def test_transfer_has_a_column_for_each_data_set_and_one_for_all(database: Database) -> None:
    (block,) = blocks(database, "transfer")
    heads = [(column.head, column.note) for column in block.columns[1:]]
    names = ("beavertails", "harmbench", "redteam", "all data sets")
    assert heads == [(name, "n = 20") for name in names]
    rows = rows_of(block, "wide: safety:5% (50 neurons), judge reward")
    shown = [cell.text() for cell in rows["effect\n(interval)"] if isinstance(cell, Estimate)]
    assert shown == ["0.80 [0.70, 0.90]"] * 4
    random = rows["3 random sets\n(range)"][0]
    assert isinstance(random, Estimate)
    assert (random.number.value, random.interval.low, random.interval.high) == pytest.approx((0.05, 0.03, 0.07))


def test_undefined_and_missing_data_sets_differ(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            builder.patch("one", ((0.05, None),), datasets=("a", "b"))
            builder.patch("two", ((0.05, 0.5),), datasets=("b", "c"))
        (block,) = blocks(database, "transfer")
    assert [column.head for column in block.columns[1:]] == ["a", "b", "c", "all data sets"]
    one, two = (rows_of(block, head)["effect\n(interval)"] for head in ("one:", "two:"))
    undefined = estimate(None, None, None)
    assert one == (undefined, undefined, None, undefined)
    assert two == (None, *[estimate(0.5, 0.4, 0.6)] * 3)
    assert undefined.text() == "\u2013"


def test_costs_have_a_block_for_each_judge(database: Database) -> None:
    cost, reward = blocks(database, "costs")
    assert (cost.head, reward.head) == ("Judge cost", "Judge reward")
    assert [group.head.partition(":")[0] for group in cost.groups] == ["sweep", "wide"]
    rows = rows_of(reward, "wide: safety:5% (50 neurons), of demo:safety into demo:sft")
    values = {role: {cell.value for cell in cells if isinstance(cell, Number)} for role, cells in rows.items()}
    assert values == {"recipient": {2.0}, "patched": {2 - 4 * 0.8}, "donor": {-2.0}}
    sweep = rows_of(cost, "sweep:")["patched"]
    assert [cell is None for cell in sweep] == [True, False, True, True, True], "one data set, d, of five columns"


def test_tax_puts_both_directions_next_to_each_other(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            for name, recipient, donor in (("a", "S", "H"), ("b", "x", "y"), ("c", "H", "S"), ("d", "S", "H")):
                config: dict[str, object] = {"recipient": recipient, "donor": donor}
                builder.patch(name, ((0.05, 0.5),), judges=("cost", "reward"), config=config)
        rows = database.frame(tax.QUERY)
        (block,) = tax.blocks(rows)
        caption = tax.caption(rows, Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run")))
    assert tax.directions(rows) == [("a", "c")]
    assert [group.head.partition(":")[0] for group in block.groups] == ["a", "c", "b", "d"]
    assert block.groups[0].head == "a: safety:5% (50 neurons), of H into S"
    assert "Both directions were run: a and c." in caption
    row = block.groups[0].rows[0]
    assert row[:2] == ("cost", "d (20)")
    values = [cell.value for cell in row[2:6] if isinstance(cell, Number)]
    ends = row[6]
    assert values == pytest.approx([2, 0, -2, -2])
    assert isinstance(ends, Interval) and (ends.low, ends.high) == pytest.approx((-2.4, -1.6))


def test_top_neurons_stand_beside_each_other(database: Database) -> None:
    (block,) = blocks(database, "top-neurons")
    assert [column.group for column in block.columns[1::4]] == ["helpful", "other", "safety"]
    frame = made(database, "top-neurons").filter(pl.col("run") == "safety")
    (group,) = block.groups
    assert [row[9] for row in group.rows] == frame["neuron"].head(10).to_list()
    scores = [row[10].value for row in group.rows if isinstance(row[10], Number)]
    assert scores == frame["change score"].head(10).to_list()


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.name)
def test_captions_say_whose_numbers_these_are(database: Database, table: Table) -> None:
    if table.name in ELSEWHERE:
        pytest.skip("made in test_filled.py")
    context = Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run"))
    caption = table.caption(database.frame(table.query), context)
    own = {"runs": ("cpu, float32",), "guard": ("demo:sft", "trained on beavertails", "prompts")}
    for words in own.get(table.name, ("demo:sft", "demo:safety", "seed 0", "prompts")):
        assert words in caption
    if table.name in ("effects", "transfer", "tax", "guard"):
        assert "95 % bootstrap intervals over prompts (2,000 resamples, seed 7)" in caption


def test_markdown_table(database: Database) -> None:
    (block,) = blocks(database, "transfer")
    lines = markdown.document("A | title", "What it is.", [block]).splitlines()
    assert lines[0] == r"**A \| title.** What it is."
    assert lines[3] == "| --- | ---: | ---: | ---: | ---: |"
    effects = "| effect (interval) | 0.80 [0.70, 0.90] | 0.80 [0.70, 0.90] | 0.80 [0.70, 0.90] | 0.80 [0.70, 0.90] |"
    assert effects in lines
    assert lines[4].startswith("| **wide: safety:5% (50 neurons), judge reward** |")


def test_a_block_has_a_cell_in_each_column() -> None:
    with pytest.raises(ValueError, match=r"rows of \[1\] cells in a block of 2 columns"):
        Block("", (Column("a"), Column("b")), (Group("", ((Number(1),),)),))


def test_latex_numbers_fit_their_columns() -> None:
    frame = pl.DataFrame({"name": ["a&b", None], "n": [1, 12345], "x": [-10.25, None], "y": [0.00123, 0.0001]})
    text = render(frame, "latex").decode()
    (columns,) = re.findall(r"\\begin\{tabular\}\{(.*)\}", text)
    assert columns == "l S[table-format=5] S[table-format=-2.2] S[table-format=1.5]"
    rows = text.split("\\midrule\n")[1].split("\\bottomrule")[0].splitlines()
    assert rows == [r"a\&b & 1 & -10.25 & 0.00123 \\", r"-- & 12345 & {--} & 0.00010 \\"]


def test_numbers_keep_their_value_where_rounding_would_lose_it() -> None:
    numbers = (Number(3e-8, 3, small=True), Number(-4e-5, 3, small=True), Number(3e-8, 3), Number(-1e300), Number(None))
    shown = ("3e\u22128", "\u22124e\u22125", "0.000", "\u22121e300", "\u2013")
    assert tuple(number.text() for number in numbers) == shown
    assert Interval(-1e300, 0.5).text() == "[\u22121e300, 0.50]"
    block = Block("", (Column("a"), Column("b", "interval")), (Group("", ((numbers[0], Interval(-1e300, 0.5)),)),), 0)
    text = latex.document("x", "T", "C.", [block])
    assert "S[table-format=1e-1]" in text and r"3e-8 & $[\num{-1e300},\,0.50]$ \\" in text


def effects(**changes: object) -> pl.DataFrame:
    row: dict[str, object] = {
        "run": "r",
        "series": "s",
        "variant": "s:5%",
        "n_neurons": 50,
        "fraction": 0.05,
        "judge": "cost",
        "judge_position": 1,
        "dataset": "d",
        "recipient": "A",
        "donor": "B",
        "mean_recipient": 2.0,
        "mean_patched": -1.2,
        "mean_donor": -2.0,
        "n_prompts": 100,
        "effect": 0.8,
        "ci_low": 0.7,
        "ci_high": 0.9,
        "confidence": 0.95,
        "gap": -4.0,
        "gap_ci_low": -4.5,
        "gap_ci_high": -3.5,
        "n_controls_defined": 5,
        "n_controls_reaching": 0,
        "control_mean": 0.05,
        "control_min": 0.01,
        "control_max": 0.1,
        "headline": True,
        "pooled": True,
    }
    return pl.DataFrame([row | changes])


RUNS = {"kind": pl.String, "run": pl.String, "model_b": pl.String, "config": pl.String}
NO_RUNS = pl.DataFrame(schema=RUNS)


def found(*frames: pl.DataFrame, settings: dict[str, object] | None = None) -> list[summary.Group]:
    runs = pl.DataFrame([("patch", "r", "B", json.dumps(settings or {}))], RUNS, orient="row")
    groups, n_more = summary.groups(pl.concat(frames), runs)
    assert n_more == 0
    return list(groups)


def test_the_answer_states_the_numbers() -> None:
    said = summary.answer(effects(), NO_RUNS)
    assert said is not None
    assert said.sentence == (
        "s:5% (50 neurons, 5.0% of all) carries 80% [70%, 90%] of the difference between A and B by cost, on "
        "100 prompts of d; 5 random sets of the same size carry at most 10%."
    )


def test_the_answer_is_about_the_run_with_most_sets_and_its_smallest_that_is_enough() -> None:
    sets = [
        effects(run="sweep", variant=f"s:{n}", n_neurons=n, effect=e) for n, e in ((10, 0.2), (20, 0.93), (40, 1.0))
    ]
    other = effects(run="single", effect=1.1)
    said = summary.answer(pl.concat([other, *sets]), NO_RUNS)
    assert said is not None and (said.row["run"], said.row["variant"]) == ("sweep", "s:20")
    said = summary.answer(pl.concat([other, *sets[:1], effects(run="sweep", variant="s:5", effect=0.4)]), NO_RUNS)
    assert said is not None and said.row["variant"] == "s:5"
    assert summary.answer(effects(effect=None), NO_RUNS) is None


@pytest.mark.parametrize(
    ("changes", "note"),
    [
        ({}, ""),
        ({"ci_low": -0.1}, "not different from nothing"),
        ({"effect": None, "ci_low": None, "ci_high": None}, "no effect can be stated"),
        ({"n_controls_reaching": 2}, "2 of 5 random sets at least as large"),
        ({"n_controls_defined": 0, "control_mean": None}, "no random sets beside it"),
        ({"effect": -0.3, "ci_low": -0.4, "ci_high": -0.2}, "away from the donor"),
        ({"n_prompts": 10}, "10 prompts: few for an interval"),
    ],
)
def test_findings_have_their_caveats(changes: dict[str, object], note: str) -> None:
    ((row,),) = (group.rows for group in found(effects(**changes)))
    assert "; ".join(row["notes"]).startswith(note) and bool(row["notes"]) == bool(note)


def test_findings_are_of_the_main_set_on_each_data_set_and_there_once() -> None:
    assert found(effects(headline=False)) == []
    one, two, both = effects(), effects(dataset="e", mean_patched=1.0), effects(dataset="*", mean_patched=0.5)
    again = effects(run="t", mean_patched=-1.2000001)
    groups = found(one, two, both, again)
    assert [(group.run, [row["dataset"] for row in group.rows]) for group in groups] == [("r", ["d", "e"])]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "s:5% (50 neurons, 5.0% of all) of B into A"),
        ({"mode": "zero"}, "s:5% (50 neurons, 5.0% of all) of A, mode zero"),
        ({"steps": "prompt"}, "s:5% (50 neurons, 5.0% of all) of B into A, at the positions of the prompt"),
        ({"first": 1}, "s:5% (50 neurons, 5.0% of all) of B into A, while the first token is written"),
        (
            {"freeze": True},
            "s:5% (50 neurons, 5.0% of all) of B frozen at the activations of A: 0 carries everything, 1 nothing",
        ),
    ],
)
def test_findings_say_what_was_done(settings: dict[str, object], words: str) -> None:
    assert [group.head for group in found(effects(), settings=settings)] == [words]


def test_findings_of_a_frozen_set_doubt_at_1() -> None:
    frozen: dict[str, object] = {"freeze": True}
    ((row,),) = (group.rows for group in found(effects(effect=0.95, ci_low=0.8, ci_high=1.1), settings=frozen))
    assert row["notes"] == ("not different from nothing",)
    ((row,),) = (group.rows for group in found(effects(effect=0.0, ci_low=-0.1, ci_high=0.1), settings=frozen))
    assert row["notes"] == ()


def test_runs_without_a_donor_are_named() -> None:
    runs = pl.DataFrame([("patch", "ablated", None, "{}"), ("patch", "r", "B", "{}")], RUNS, orient="row")
    assert summary.without_donor(runs).endswith("(view causal_effects): ablated.")


@pytest.mark.parametrize(
    ("share", "words"),
    [(0.457, "46%"), (0.0444, "4.4%"), (0.0009, "0.09%"), (-1.1e-16, "0%"), (-0.004, "\u22120.4%"), (1.0, "100%")],
)
def test_shares_are_written_as_what_they_mean(share: float, words: str) -> None:
    assert summary.percent(share) == words
