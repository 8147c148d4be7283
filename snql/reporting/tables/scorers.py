"""The causal effects of rankings by several scorers, and how far their tops are the same."""

import polars as pl

from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.tables.effects import EFFECT_CELLS, UNDEFINED
from snql.writing.layout import Block, Column, Group, Number, estimate

NAME = "scorers"
TITLE = "Causal effect by scorer"
QUERY = "SELECT * FROM scorer_effects WHERE pooled ORDER BY run, judge_position, judge, variant"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set and judge."""
    return rows.select(
        "run",
        "scorer",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        "judge",
        pl.col("n_prompts").alias("prompts"),
        *EFFECT_CELLS,
        pl.col("difference").alias("effect over random sets"),
        pl.col("difference_ci_low").alias("difference low"),
        pl.col("difference_ci_high").alias("difference high"),
        pl.col("p_value").alias("p"),
        pl.col("overlap").alias("share in change-score's set"),
        pl.col("chance").alias("by chance"),
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """One block; the rows of a run and judge are a group, the highest effect first."""
    columns = (
        Column("scorer", "text"),
        Column("neurons"),
        Column("effect (interval)"),
        Column("random sets (range)"),
        Column("in change-score's set"),
        Column("by chance"),
    )
    groups = []
    for (run, judge), group in rows.group_by("run", "judge", maintain_order=True):
        ordered = group.sort("effect", descending=True, nulls_last=True)
        made = tuple(
            (
                row["scorer"],
                Number(row["n_neurons"], 0),
                estimate(row["effect"], row["ci_low"], row["ci_high"]),
                estimate(row["control_mean"], row["control_min"], row["control_max"]) if row["n_controls"] else None,
                Number(row["overlap"]),
                Number(row["chance"]),
            )
            for row in ordered.iter_rows(named=True)
        )
        groups.append(Group(f"{run}, judge {judge}", made))
    return (Block("", columns, tuple(groups)),)


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What the columns are and how the intervals were made."""
    parts = [
        f"In brackets, {interval_words(rows)}; of random sets, with as many neurons in each layer, the range. The last "
        "two columns: the share of a set's neurons that are also in change-score's set, and that share by chance.",
        UNDEFINED if rows["effect"].null_count() else "",
        judge_words(rows),
        patch_words(context, rows["run"].unique().sort().to_list()),
    ]
    return " ".join(part for part in parts if part)
