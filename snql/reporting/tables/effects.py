"""Every measured causal effect beside its random sets."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words, patch_words
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import count

NAME = "effects"
TITLE = "Causal effects"
QUERY = "SELECT * FROM figure_effects ORDER BY run, series, judge_position, judge, dataset, n_neurons, variant"
UNDEFINED = "A dash: undefined, because the interval of the donor-recipient difference covers 0."
EFFECT_CELLS = (
    pl.col("effect"),
    pl.col("ci_low").alias("from"),
    pl.col("ci_high").alias("to"),
    pl.col("n_controls").alias("random sets"),
    pl.col("control_mean").alias("random mean"),
    pl.col("control_min").alias("random lowest"),
    pl.col("control_max").alias("random highest"),
)
SETTINGS_CELLS = (pl.col("confidence"), pl.col("resamples"), pl.col("seed"))


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set, judge and data set."""
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        pl.col("fraction").alias("share of neurons"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        *EFFECT_CELLS,
        *SETTINGS_CELLS,
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """One heading for each run, judge and data set; the sets of each below it."""
    columns = (
        Column("set", "text"),
        Column("neurons"),
        Column("% of all"),
        Column("effect"),
        Column("interval", "interval"),
        Column("random mean"),
        Column("random range", "interval"),
    )
    keys = ("run", "judge_position", "judge", "dataset")
    groups = tuple(_group(group) for _, group in rows.group_by(keys, maintain_order=True))
    return (Block("", columns, groups),)


def _group(rows: pl.DataFrame) -> Group:
    first = rows.row(0, named=True)
    where = "all data sets" if first["dataset"] == "*" else first["dataset"]
    controls = sorted(set(rows["n_controls"]))
    beside = " or ".join(map(str, controls)) + f" random set{'' if controls == [1] else 's'}" if any(controls) else ""
    words = [f"{first['run']}: {where}", f"judge {first['judge']}", count(first["n_prompts"], "prompt")]
    words += [beside or "no random sets"]
    return Group(", ".join(words), tuple(_row(row) for row in rows.iter_rows(named=True)))


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    share = None if row["fraction"] is None else Number(100 * row["fraction"], 1)
    measured = row["control_mean"] is not None or (row["effect"] is None and bool(row["n_controls"]))
    return (
        row["variant"],
        None if row["n_neurons"] is None else Number(row["n_neurons"], 0),
        share,
        Number(row["effect"]),
        Interval(row["ci_low"], row["ci_high"]),
        Number(row["control_mean"]) if measured else None,
        Interval(row["control_min"], row["control_max"]),
    )


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What the columns mean and how the intervals were made."""
    parts = [
        "Effect 1: the patched neurons carry the whole difference between donor and recipient; 0: none of it. "
        f"Intervals are {interval_words(rows)}.",
        "Random sets have as many neurons in each layer as the set, and none of its own.",
        UNDEFINED if rows["effect"].null_count() else "",
        patch_words(context, rows["run"].unique().sort().to_list()),
    ]
    return " ".join(part for part in parts if part)
