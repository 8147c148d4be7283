"""What patching changes under each judge: the alignment tax, in both directions where both were run."""

from typing import Any

import polars as pl

from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.tables.transfer import set_words
from snql.writing.layout import Block, Cell, Column, Group, Interval, Number
from snql.writing.words import decimals, listing

NAME = "tax"
TITLE = "Mean scores before and after patching"
QUERY = "SELECT * FROM figure_effects WHERE headline ORDER BY run, series, judge_position, judge, dataset"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each set, judge and data set."""
    return rows.select(
        "run",
        "recipient",
        "donor",
        pl.col("variant").alias("set"),
        pl.col("n_neurons").alias("neurons"),
        "judge",
        pl.col("dataset").alias("data set"),
        pl.col("n_prompts").alias("prompts"),
        pl.col("mean_recipient").alias("before patching"),
        pl.col("mean_patched").alias("patched"),
        pl.col("mean_donor").alias("donor's score"),
        "change",
        pl.col("change_ci_low").alias("change from"),
        pl.col("change_ci_high").alias("change to"),
    )


def directions(rows: pl.DataFrame) -> list[tuple[str, str]]:
    """Pairs of runs that patch the same neurons between the same two models, one each way."""
    runs = rows.select("run", "recipient", "donor", "neurons").unique("run").sort("run")
    pairs: list[tuple[str, str]] = []
    waiting: dict[tuple[str, str, str], list[str]] = {}
    for run, recipient, donor, neurons in runs.drop_nulls().iter_rows():
        if back := waiting.get((donor, recipient, neurons)):
            pairs.append((back.pop(0), run))
        else:
            waiting.setdefault((recipient, donor, neurons), []).append(run)
    return sorted(pairs)


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """A heading for each set of each run, with its models; a row for each judge and data set. Pairs come first."""
    columns = (
        Column("judge", "text"),
        Column("data set (prompts)", "text"),
        Column("recipient"),
        Column("patched"),
        Column("donor"),
        Column("change", group="patched less recipient"),
        Column("interval", "interval", group="patched less recipient"),
    )
    paired = [run for pair in directions(rows) for run in pair]
    order = [*paired, *(run for run in rows["run"].unique().sort().to_list() if run not in paired)]
    found = [group for run in order for _, group in _sets(rows.filter(pl.col("run") == run))]
    return (Block("", columns, tuple(_group(group) for group in found), 2),)


def _sets(rows: pl.DataFrame) -> list[tuple[tuple[object, ...], pl.DataFrame]]:
    return list(rows.group_by("variant", maintain_order=True))


def _group(rows: pl.DataFrame) -> Group:
    first = rows.row(0, named=True)
    models = f"of {first['donor'] or 'the donor'} into {first['recipient'] or 'the recipient'}"
    head = f"{set_words(first)}, {models}"
    means = pl.concat([rows[name] for name in ("mean_recipient", "mean_patched", "mean_donor")])
    places = decimals(means)
    return Group(head, tuple(_row(row, places) for row in rows.iter_rows(named=True)))


def _row(row: dict[str, Any], places: int) -> tuple[Cell, ...]:
    return (
        row["judge"],
        f"{'all data sets' if row['dataset'] == '*' else row['dataset']} ({row['n_prompts']:,})",
        *(Number(row[name], places) for name in ("mean_recipient", "mean_patched", "mean_donor", "change")),
        Interval(row["change_ci_low"], row["change_ci_high"], places),
    )


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What change is, how its interval was made, and which runs belong together."""
    both = [f"{first} and {second}" for first, second in directions(rows)]
    pairs = f" Both directions were run: {listing(both)}." if both else ""
    return (
        "Scores are in the judge's own units: a cost is better low, a reward better high. Change is patched less "
        f"recipient, with {interval_words(rows)}. The set is the one of 5 % of the neurons, or the largest one with "
        f"a defined effect.{pairs} {patch_words(context, rows['run'].unique().sort().to_list())}"
    )
