"""Mean scores of recipient, patched model and donor on each data set, by every judge.

A block is one judge: what other judges or capability tests measure comes as more blocks with the same rows.
"""

import polars as pl

from snql.reporting.context import Context, patch_words
from snql.reporting.tables.transfer import dataset_sizes, set_words
from snql.writing.layout import Block, Cell, Column, Group, Number, dataset_columns
from snql.writing.words import decimals

NAME = "costs"
TITLE = "Mean scores by data set"
QUERY = "SELECT * FROM figure_effects WHERE headline ORDER BY run, series, judge_position, judge, dataset"
ROLES = ("recipient", "patched", "donor")


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set, judge and data set."""
    return rows.select(
        "run",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        *(pl.col(f"mean_{role}").alias(role) for role in ROLES),
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """One block for each judge: a column for each data set, rows for the models of each run."""
    return tuple(_block(group) for _, group in rows.sort("judge").group_by("judge", maintain_order=True))


def _block(rows: pl.DataFrame) -> Block:
    sizes = dataset_sizes(rows)
    places = decimals(pl.concat([rows[f"mean_{role}"] for role in ROLES]))
    sets = rows.group_by("run", "variant", maintain_order=True)
    groups = tuple(_group(group, list(sizes), places) for _, group in sets)
    return Block(f"Judge {rows['judge'][0]}", (Column("", "text"), *dataset_columns(sizes)), groups)


def _group(rows: pl.DataFrame, datasets: list[str], places: int) -> Group:
    first = rows.row(0, named=True)
    models = f"of {first['donor'] or 'the donor'} into {first['recipient'] or 'the recipient'}"
    return Group(f"{set_words(first)}, {models}", tuple(_row(role, rows, datasets, places) for role in ROLES))


def _row(role: str, rows: pl.DataFrame, datasets: list[str], places: int) -> tuple[Cell, ...]:
    found = dict(rows.select("dataset", f"mean_{role}").iter_rows())
    return (role, *(Number(found[name], places) if name in found else None for name in datasets))


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What the scores are and which models gave them."""
    return (
        "Scores are in the judge's own units: a cost is better low, a reward better high. n counts prompts; an empty "
        "cell: not a data set of the run. The patched set is the one of 5 % of the neurons, or the largest one with "
        f"a defined effect. {patch_words(context, rows['run'].unique().sort().to_list())}"
    )
