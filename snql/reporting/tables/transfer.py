"""The causal effect of each run's main sets on each data set, side by side."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.tables.effects import EFFECT_CELLS, UNDEFINED
from snql.writing.layout import Block, Cell, Column, Group, dataset_columns, estimate
from snql.writing.words import count

NAME = "transfer"
TITLE = "Causal effect by data set"
QUERY = "SELECT * FROM figure_transfer ORDER BY run, series, dataset"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set and data set."""
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        pl.col("dataset").alias("data set"),
        "judge",
        pl.col("n_prompts").alias("prompts"),
        *EFFECT_CELLS,
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """One column for each data set and one for all; each set has a row for itself and one for its random sets."""
    sizes = dataset_sizes(rows)
    sets = rows.group_by("run", "variant", maintain_order=True)
    groups = tuple(_group(group, list(sizes)) for _, group in sets)
    return (Block("", (Column("", "text"), *dataset_columns(sizes)), groups),)


def dataset_sizes(rows: pl.DataFrame) -> dict[str, list[int]]:
    """The numbers of prompts of each data set, by name; ``*``, all of them, comes last."""
    ordered = rows.sort(pl.col("dataset") == "*", "dataset").group_by("dataset", maintain_order=True)
    return dict(ordered.agg(pl.col("n_prompts").unique()).iter_rows())


def set_words(row: dict[str, Any]) -> str:
    """The run and the set of a row, with its size."""
    size = "" if row["n_neurons"] is None else f" ({count(row['n_neurons'], 'neuron')})"
    return f"{row['run']}: {row['variant']}{size}"


def _group(rows: pl.DataFrame, datasets: list[str]) -> Group:
    first = rows.row(0, named=True)
    found = {row["dataset"]: row for row in rows.iter_rows(named=True)}
    effects = (_cell(found.get(name), "effect", "ci_low", "ci_high") for name in datasets)
    made: list[tuple[Cell, ...]] = [("effect\n(interval)", *effects)]
    if n_controls := int(rows["n_controls"].to_numpy().max()):
        random = (_cell(found.get(name), "control_mean", "control_min", "control_max") for name in datasets)
        made.append((f"{count(n_controls, 'random set')}\n(range)", *random))
    return Group(f"{set_words(first)}, judge {first['judge']}", tuple(made))


def _cell(row: dict[str, Any] | None, value: str, low: str, high: str) -> Cell:
    return None if row is None else estimate(row[value], row[low], row[high])


def caption(rows: pl.DataFrame, context: Context) -> str:
    """How the sets were chosen, what brackets mean and how the intervals were made."""
    controlled = bool(rows["n_controls"].max())
    parts = [
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect. In brackets, "
        f"{interval_words(rows)}{'; of random sets, the range' if controlled else ''}. n counts prompts.",
        "Random sets have as many neurons in each layer as the set, and none of its own."
        if controlled
        else "No random sets were patched, so nothing shows what any set of this size would do.",
        UNDEFINED if rows["effect"].null_count() else "",
        judge_words(rows),
        patch_words(context, rows["run"].unique().sort().to_list()),
    ]
    return " ".join(part for part in parts if part)
