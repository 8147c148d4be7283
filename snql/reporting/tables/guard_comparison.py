"""One classifier on what it may read: chosen neurons, random ones, all, their components, the residual stream."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import count

NAME = "guard-comparison"
TITLE = "One classifier on what it may read"
QUERY = "SELECT * FROM guard_comparison ORDER BY run, dataset, place"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each run, data set and reader."""
    return rows.select(
        "run",
        "neurons",
        pl.col("label").alias("read"),
        pl.col("n_numbers").alias("numbers"),
        pl.col("n_classifiers").alias("sets"),
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("n_harmful").alias("harmful"),
        "accuracy",
        pl.col("accuracy_ci_low").alias("from"),
        pl.col("accuracy_ci_high").alias("to"),
        pl.col("difference").alias("chosen less this"),
        pl.col("difference_ci_low").alias("difference from"),
        pl.col("difference_ci_high").alias("difference to"),
        pl.col("auroc").alias("AUROC"),
        pl.col("auroc_ci_low").alias("AUROC from"),
        pl.col("auroc_ci_high").alias("AUROC to"),
        pl.col("false_alarms").alias("false alarms"),
        "majority",
        pl.col("added_ms").alias("added ms"),
        "layers",
        "components",
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """A heading for each run and data set, a row for each reader."""
    columns = (
        Column("read (numbers)", "text"),
        Column("value", group="accuracy"),
        Column("interval", "interval", group="accuracy"),
        Column("chosen less this", "interval", group="accuracy"),
        Column("value", group="AUROC"),
        Column("interval", "interval", group="AUROC"),
        Column("alarms"),
        Column("ms"),
    )
    groups = rows.group_by("run", "dataset", maintain_order=True)
    return (Block("", columns, tuple(_group(group) for _, group in groups), 2),)


def _group(rows: pl.DataFrame) -> Group:
    first = rows.row(0, named=True)
    name = "all data sets" if first["dataset"] == "*" else first["dataset"]
    prompts = f"{count(first['n_prompts'], 'prompt')}, {first['n_harmful']:,} harmful, most {first['majority']:.2f}"
    return Group(f"{first['run']} on {name}: {prompts}", tuple(_row(row) for row in rows.iter_rows(named=True)))


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        f"{row['label']} ({row['n_numbers']:,})",
        Number(row["accuracy"]),
        Interval(row["accuracy_ci_low"], row["accuracy_ci_high"]),
        Interval(row["difference_ci_low"], row["difference_ci_high"]),
        Number(row["auroc"]),
        Interval(row["auroc_ci_low"], row["auroc_ci_high"]),
        Number(row["false_alarms"]),
        Number(row["added_ms"]),
    )


def caption(rows: pl.DataFrame, context: Context) -> str:  # noqa: ARG001 - what all tables are given
    """What each column is."""
    return (
        "The same logistic regression on different numbers at the last prompt token. Each prompt is judged by a fit "
        "that, with all that was chosen for it, had nothing of its family. Chosen less this: interval of the chosen "
        "neurons' accuracy less this one's on the same prompts; random neurons are means over seeds. Most: always "
        "saying what most prompts are. Alarms: benign prompts that are flagged. ms: what reading adds to a prefill "
        f"(median). Intervals: {interval_words(rows)}."
    )
