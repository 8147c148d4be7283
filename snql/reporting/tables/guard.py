"""How guards do on prompts that they have not seen, beside random neurons and a constant answer."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, guard_words, interval_words
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import count

NAME = "guard"
TITLE = "Guards on prompts that they have not seen"
QUERY = "SELECT * FROM figure_guards ORDER BY run, pooled, dataset"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each tested guard and data set."""
    return rows.select(
        "run",
        "guard",
        "neurons",
        "model",
        "judge",
        pl.col("trained_on").alias("trained on"),
        pl.col("n_neurons").alias("count"),
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("n_harmful").alias("harmful"),
        pl.col("n_benign").alias("given as benign"),
        "accuracy",
        pl.col("ci_low").alias("from"),
        pl.col("ci_high").alias("to"),
        pl.col("balanced").alias("balanced accuracy"),
        pl.col("auroc").alias("AUROC"),
        pl.col("f1").alias("F1"),
        pl.col("brier").alias("Brier score"),
        pl.col("ece").alias("calibration error"),
        pl.col("false_alarms").alias("false alarms"),
        "majority",
        pl.col("matched").alias("random, same layers"),
        pl.col("magnitude").alias("random, like magnitude"),
        pl.col("last_layer").alias("random, last layer"),
        pl.col("anywhere").alias("random, anywhere"),
        pl.col("difference").alias("guard less random"),
        pl.col("difference_ci_low").alias("difference from"),
        pl.col("difference_ci_high").alias("difference to"),
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """A heading for each tested guard, a row for each data set."""
    columns = (
        Column("data set (prompts, harmful)", "text"),
        Column("value", group="accuracy"),
        Column("interval", "interval", group="accuracy"),
        Column("most", group="accuracy"),
        Column("random", group="accuracy"),
        Column("less random", "interval", group="accuracy"),
        Column("AUROC"),
        Column("ECE"),
        Column("alarms"),
    )
    runs = rows.group_by("run", maintain_order=True)
    return (Block("", columns, tuple(_group(group) for _, group in runs), 2),)


def _group(rows: pl.DataFrame) -> Group:
    first = rows.row(0, named=True)
    tested = "" if first["run"] == first["guard"] else f", tested as {first['run']}"
    head = f"{first['guard']}: {first['neurons']} ({count(first['n_neurons'], 'neuron')}){tested}"
    return Group(head, tuple(_row(row) for row in rows.iter_rows(named=True)))


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    name = "all data sets" if row["dataset"] == "*" else row["dataset"]
    return (
        f"{name} ({row['n_prompts']:,}, {row['n_harmful']:,})",
        Number(row["accuracy"]),
        Interval(row["ci_low"], row["ci_high"]),
        Number(row["majority"]),
        Number(row["matched"]),
        Interval(row["difference_ci_low"], row["difference_ci_high"]),
        Number(row["auroc"]),
        Number(row["ece"]),
        Number(row["false_alarms"]),
    )


def caption(rows: pl.DataFrame, context: Context) -> str:  # noqa: ARG001 - what all tables are given
    """What each column is, and what an interval that covers 0 means."""
    return (
        "Harmful: prompts whose answer the judge finds harmful. Accuracy of the guard, of always saying what most of "
        "the prompts are (most), and of random neurons of the same layers (mean over seeds); less random: interval of "
        "the guard's accuracy less theirs on the same prompts, which covers 0 where these prompts do not show that the "
        "chosen neurons matter. ECE: calibration error over 10 bins. Alarms: benign prompts that are refused. "
        f"Intervals: {interval_words(rows)}. {guard_words(rows)}"
    )
