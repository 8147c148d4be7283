"""The table of abilities, against the rows it is made of."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest

from snql.db import Database
from snql.reporting.context import Context
from snql.reporting.tables import capability as table
from snql.writing.layout import Block, Cell, Interval, Number

from .capability import capability
from .conftest import Builder, small


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with small(tmp_path_factory.mktemp("small") / "snql.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection, n_runs=9)
            builder.patch("frozen", config={"freeze": True})
            builder.patch("elsewhere", config={"recipient": "demo:base"})
            builder.patch("zeroed", config={"mode": "zero"})
        yield database


def made(database: Database) -> dict[str, Block]:
    return {block.head: block for block in table.blocks(database.frame(table.QUERY))}


def shown(cells: tuple[Cell, ...]) -> list[str]:
    return [cell.text() if isinstance(cell, Number | Interval) else str(cell) for cell in cells]


def test_texts_have_their_perplexity_and_ratio_with_intervals(database: Database) -> None:
    block = made(database)["Perplexity"]
    assert [column.group for column in block.columns[1::4]] == ["essays", "wiki", "all texts"]
    assert [column.head for column in block.columns[1:5]] == ["perplexity", "interval", "ratio", "interval"]
    (group,) = block.groups
    assert group.head == "fluent: demo:sft, donor demo:safety"
    assert [row[0] for row in group.rows] == ["unpatched", "donor", "safety:5% (50 neurons)"]
    assert shown(group.rows[2][1:5]) == ["22.00", "[20.00, 25.00]", "1.100", "[1.090, 1.120]"]


def test_tasks_have_their_standard_errors(database: Database) -> None:
    block = made(database)["Tasks"]
    assert [column.group for column in block.columns[1::2]] == ["gsm8k, exact_match", "mmlu, acc"]
    (group,) = block.groups
    assert [shown(row[1:3]) for row in group.rows] == [["0.500", "0.013"], ["0.490", "0.013"], ["0.480", "0.013"]]


def test_scores_are_those_of_runs_with_the_same_models_set_and_mode(database: Database) -> None:
    block = made(database)["Mean scores by judges"]
    assert [group.head.partition(":")[0] for group in block.groups] == ["sweep", "wide"]
    sweep = block.groups[0]
    assert [row[0] for row in sweep.rows] == ["unpatched", "donor", "safety:5% (50 neurons)"], "no other step of it"
    place = [column.group for column in block.columns].index("d, cost")
    effects = database.frame("FROM causal_effects WHERE run = 'sweep' AND variant = 'safety:5%'").row(0, named=True)
    means = [effects[f"mean_{role}"] for role in ("recipient", "donor", "patched")]
    assert [row[place].value for row in sweep.rows] == means  # type: ignore[union-attr]
    change = sweep.rows[2][place + 1 : place + 3]
    assert change == (Number(effects["change"]), Interval(effects["change_ci_low"], effects["change_ci_high"]))
    assert sweep.rows[0][place + 1] is None
    assert all(cell is None for cell in sweep.rows[2][1:place]), "not a data set or a judge of this run"


def test_the_frame_is_made_of_the_views(database: Database) -> None:
    frame = table.cells(database.frame(table.QUERY))
    texts = frame.filter(pl.col("kind") == "text")
    view = database.frame("FROM perplexities WHERE control_of IS NULL")
    keys = ["run", "set", "text, task or data set"]
    joined = texts.join(view, left_on=keys, right_on=["run", "variant", "dataset"], suffix="_view")
    assert joined.height == texts.height == view.height == 9
    for ours, theirs in (("value", "perplexity"), ("from", "ci_low"), ("ratio", "ratio_view"), ("n", "n_tokens")):
        assert joined[ours].to_list() == joined[theirs].to_list()
    tasks = frame.filter(pl.col("kind") == "task").join(
        database.frame("FROM task_scores"), left_on=keys, right_on=["run", "variant", "task"], suffix="_view"
    )
    assert tasks.height == 6
    assert tasks["value"].to_list() == tasks["value_view"].to_list()
    assert tasks["standard error"].to_list() == tasks["stderr"].to_list()


def test_the_caption_says_who_was_measured_on_how_much(database: Database) -> None:
    rows = database.frame(table.QUERY)
    words = table.caption(rows, Context(database.frame("SELECT * FROM figure_runs ORDER BY kind, run")))
    for part in (
        "95 % bootstrap intervals over documents or prompts (2,000 resamples, seed 7)",
        "Run fluent: demo:sft, donor demo:safety, at most 1,234 tokens a test, seed 0.",
        "Run fluent-tasks: demo:sft, donor demo:safety, at most 200 documents a test, seed 0.",
        "Run sweep: recipient demo:sft, donor demo:safety, 2 prompts, seed 0.",
        "Run wide: recipient demo:sft, donor demo:safety, 6 prompts, seed 0.",
    ):
        assert part in words


def test_without_a_measured_set_nothing_is_shown_of_patch_runs(tmp_path: Path) -> None:
    with Database(tmp_path / "x.duckdb") as database:
        with database.write() as connection:
            builder = Builder(connection)
            builder.patch("sweep")
        assert database.frame(table.QUERY).is_empty()
        with database.write() as connection:
            capability(Builder(connection, n_runs=1), "read", source="helpful")
        assert set(database.frame(table.QUERY)["part"]) == {"text", "task"}
