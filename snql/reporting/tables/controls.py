"""Each run's main set against its random sets: the paired difference, and tests of it."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.tables.transfer import set_words
from snql.stats.holm import adjusted
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import count

NAME = "controls"
TITLE = "Sets against their random controls"
QUERY = (
    "SELECT * FROM figure_tax WHERE n_controls IS NOT NULL "
    "ORDER BY run, series, variant, judge_position, judge, dataset"
)


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set, judge and data set."""
    return rows.with_columns(adjusted(rows["controls_permutation_p_value"])).select(
        "run",
        pl.col("variant").alias("set"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("n_controls").alias("random sets"),
        pl.col("controls_kind").alias("drawn"),
        pl.col("mean_patched").alias("set's mean"),
        pl.col("controls_mean").alias("random mean"),
        pl.col("controls_difference").alias("difference"),
        pl.col("controls_difference_ci_low").alias("from"),
        pl.col("controls_difference_ci_high").alias("to"),
        pl.col("controls_effect_difference").alias("share of the gap"),
        pl.col("controls_permutation_p_value").alias("p, sign flips"),
        pl.col("adjusted").alias("p, sign flips, Holm"),
        pl.col("controls_t_p_value").alias("p, paired t"),
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """A heading for each set of each run; a row for each judge and data set."""
    columns = (
        Column("judge", "text"),
        Column("data set (prompts)", "text"),
        Column("set"),
        Column("random"),
        Column("difference", group="set less random"),
        Column("interval", "interval", group="set less random"),
        Column("sign flips", group="p"),
        Column("Holm", group="p"),
        Column("paired t", group="p"),
    )
    tested = rows.with_columns(adjusted(rows["controls_permutation_p_value"]))
    sets = tested.group_by("run", "variant", maintain_order=True)
    return (Block("", columns, tuple(_group(group) for _, group in sets), 2),)


def _group(rows: pl.DataFrame) -> Group:
    first = rows.row(0, named=True)
    beside = f"{count(first['n_controls'], 'random set')} ({first['controls_kind']})"
    return Group(f"{set_words(first)}, {beside}", tuple(_row(row) for row in rows.iter_rows(named=True)))


def _row(row: dict[str, Any]) -> tuple[Cell, ...]:
    return (
        row["judge"],
        f"{'all data sets' if row['dataset'] == '*' else row['dataset']} ({row['n_prompts']:,})",
        Number(row["mean_patched"]),
        Number(row["controls_mean"]),
        Number(row["controls_difference"]),
        Interval(row["controls_difference_ci_low"], row["controls_difference_ci_high"]),
        Number(row["controls_permutation_p_value"], 4, small=True),
        Number(row["adjusted"], 4, small=True),
        Number(row["controls_t_p_value"], 4, small=True),
    )


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What is compared, by which tests, and what a small p does not say."""
    return (
        "Difference: over prompts, the set's score minus the mean of its random sets, in the judge's own units, with "
        f"{interval_words(rows)}. p: two-sided, of random sign flips of the differences, the same adjusted for all "
        f"{count(len(rows), 'row')} (Holm), and of a paired t-test, not adjusted; a small one says that these random "
        "sets differ from the set, not that others would. "
        f"{patch_words(context, rows['run'].unique().sort().to_list())}"
    )
