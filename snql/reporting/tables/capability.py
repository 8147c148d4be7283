"""What patching costs in ability: perplexities, tasks, and the scores by judges of the same sets ([P] table 8)."""

from collections.abc import Callable, Sequence
from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.tables.transfer import set_words
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import count, decimals, short_labels

NAME = "capability"
TITLE = "Perplexity, tasks and scores of models and patches"
QUERY = "SELECT * FROM figure_capability ORDER BY part, run, variant_id, measure, test, filter"
PARTS = {"text": "Perplexity", "task": "Tasks", "judge": "Mean scores by judges"}
_NAMES = {
    "part": "kind",
    "test": "text, task or data set",
    "ci_low": "from",
    "ci_high": "to",
    "stderr": "standard error",
    "ratio_ci_low": "ratio from",
    "ratio_ci_high": "ratio to",
    "change_ci_low": "change from",
    "change_ci_high": "change to",
    "variant": "set",
    "n_neurons": "neurons",
}
_CELLS = (
    *("run", "model", "donor", "mode", "variant", "role", "n_neurons", "part", "measure", "test", "filter"),
    *("value", "ci_low", "ci_high", "stderr"),
    *("ratio", "ratio_ci_low", "ratio_ci_high", "change", "change_ci_low", "change_ci_high", "n"),
)

Cells = Callable[[dict[str, Any]], tuple[Cell, ...]]


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each model or set, and test."""
    return rows.select(pl.col(name).alias(_NAMES.get(name, name)) for name in _CELLS)


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """One block for each kind of test: columns for its tests, a row for each model and set, a heading for each run."""
    return tuple(_block(part, rows.filter(pl.col("part") == part)) for part in PARTS if part in rows["part"])


def _block(part: str, rows: pl.DataFrame) -> Block:
    tests = (
        rows.select("measure", "test", "filter")
        .unique()
        .sort(pl.col("test") == "*", "test", "measure", "filter")
        .rows()
    )
    heads = short_labels([_test_words(part, *test) for test in tests], 40)
    kinds, made = _columns(part, rows)
    columns = [Column("", "text")]
    for test in tests:
        group = heads[_test_words(part, *test)]
        columns += [Column(head, "interval" if head == "interval" else "number", group=group) for head in kinds]
    groups = tuple(_group(found, tests, made, len(kinds)) for _, found in rows.group_by("run", maintain_order=True))
    return Block(PARTS[part], tuple(columns), groups)


def _test_words(part: str, measure: str, test: str, chosen: str) -> str:
    place = {"text": "all texts", "judge": "all data sets"}.get(part, test) if test == "*" else test
    if part == "text":
        return place
    return f"{place}, {measure}" + (f", {chosen}" if chosen != "none" else "")


def _columns(part: str, rows: pl.DataFrame) -> tuple[tuple[str, ...], Cells]:
    """Heads of a test's columns, and its cells of a row."""
    places = decimals(rows["value"])
    if part == "text":
        heads: tuple[str, ...] = ("perplexity", "interval", "ratio", "interval")
        return heads, lambda row: (
            Number(row["value"], places),
            Interval(row["ci_low"], row["ci_high"], places),
            Number(row["ratio"], 3),
            Interval(row["ratio_ci_low"], row["ratio_ci_high"], 3),
        )
    if part == "task":
        return ("value", "s.e."), lambda row: (Number(row["value"], places), Number(row["stderr"], places))
    return ("mean", "change", "interval"), lambda row: (
        Number(row["value"], places),
        None if row["change"] is None else Number(row["change"], places),
        Interval(row["change_ci_low"], row["change_ci_high"], places),
    )


def _group(rows: pl.DataFrame, tests: Sequence[tuple[str, str, str]], made: Cells, width: int) -> Group:
    """The rows of one run."""
    first = rows.row(0, named=True)
    donor = f", donor {first['donor']}" if first["donor"] else ""
    shown = [_row(found, tests, made, width) for _, found in rows.group_by("variant_id", maintain_order=True)]
    return Group(f"{first['run']}: {first['model']}{donor}", tuple(shown))


def _row(rows: pl.DataFrame, tests: Sequence[tuple[str, str, str]], made: Cells, width: int) -> tuple[Cell, ...]:
    first = rows.row(0, named=True)
    label = set_words(first).removeprefix(f"{first['run']}: ")
    if first["role"] != "patched":
        label = "unpatched" if first["role"] == "recipient" else str(first["role"])
    found = {(row["measure"], row["test"], row["filter"]): row for row in rows.iter_rows(named=True)}
    shown: list[Cell] = [label]
    for test in tests:
        shown += made(found[test]) if test in found else [None] * width
    return tuple(shown)


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What the measures are, how their intervals were made, and which models were measured on how much."""
    found = set(rows["part"])
    parts = [
        "Perplexity is per token; a ratio is to the unpatched model on the same tokens." if "text" in found else "",
        "Tasks are those of the LM Evaluation Harness, with its own standard errors (s.e.)." if "task" in found else "",
        "Judges' scores are of prompts of patch runs with the same sets, in the judge's own units: a cost is better "
        "low, a reward better high; change is from the unpatched model."
        if "judge" in found
        else "",
        _interval_words(rows),
        _measured(context, rows),
        patch_words(context, rows.filter(pl.col("part") == "judge")["run"].unique().sort().to_list()),
    ]
    return " ".join(part for part in parts if part)


def _interval_words(rows: pl.DataFrame) -> str:
    measured = rows.drop_nulls("resamples")
    return "" if measured.is_empty() else f"Brackets are {interval_words(measured, 'documents or prompts')}."


def _measured(context: Context, rows: pl.DataFrame) -> str:
    """Models and seeds of the runs that measured texts and tasks."""
    words = []
    for kind, part in (("perplexity", "text"), ("lm-eval", "task")):
        names = rows.filter(pl.col("part") == part)["run"].unique().sort().to_list()
        for row in context.of(kind, names).iter_rows(named=True):
            size = rows.filter((pl.col("run") == row["run"]) & (pl.col("part") == part))["n"].max()
            noun = "token" if part == "text" else "document"
            amount = f", at most {count(int(str(size)), noun)} a test" if size is not None else ""
            donor = f", donor {row['model_b']}" if row["model_b"] else ""
            words.append(f"Run {row['run']}: {row['model_a']}{donor}{amount}, seed {row['seed']}.")
    return " ".join(words)
