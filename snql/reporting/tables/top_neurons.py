"""The neurons with the highest change scores of each locate run."""

import polars as pl

from snql.reporting.context import Context, locate_words
from snql.writing.layout import Block, Cell, Column, Group, Number
from snql.writing.words import decimals, short_labels

NAME = "top-neurons"
TITLE = "Highest-ranked neurons"
TOP = 20
SHOWN = 10
QUERY = f"SELECT * FROM neuron_scores WHERE rank <= {TOP} ORDER BY run, rank"  # noqa: S608  (a constant)


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each run and neuron."""
    return rows.select(
        "run",
        "rank",
        _neuron(),
        pl.col("score").alias("change score"),
        pl.col("mean_before").alias("mean before"),
        pl.col("mean_after").alias("mean after"),
        pl.col("std_before").alias("deviation before"),
        pl.col("std_after").alias("deviation after"),
        pl.col("n_tokens").alias("tokens"),
    )


def _neuron() -> pl.Expr:
    plain = pl.format("L{}.N{}", "layer", "neuron")
    expert = pl.format("L{}.E{}.N{}", "layer", "expert", "neuron")
    return pl.when(pl.col("expert").is_null()).then(plain).otherwise(expert).alias("neuron")


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """The first ranks of the runs beside each other."""
    named = rows.filter(pl.col("rank") <= SHOWN).with_columns(_neuron())
    labels = short_labels(named["run"].unique(maintain_order=True), 36)
    parts = {run: named.filter(pl.col("run") == run) for run in labels}
    columns = tuple(column for run in labels for column in _columns(labels[run]))
    ranks = range(1, max((part.height for part in parts.values()), default=0) + 1)
    made = tuple((Number(rank, 0), *(cell for part in parts.values() for cell in _cells(part, rank))) for rank in ranks)
    return (Block("", (Column("rank"), *columns), (Group("", made),)),)


def _columns(run: str) -> tuple[Column, ...]:
    return Column("neuron", "text", group=run), *(Column(head, group=run) for head in ("score", "before", "after"))


def _cells(part: pl.DataFrame, rank: int) -> tuple[Cell, ...]:
    if rank > part.height:
        return (None,) * 4
    row = part.row(rank - 1, named=True)
    numbers = (
        None if row[name] is None else Number(row[name], max(2, min(3, decimals(part[name]))), small=True)
        for name in ("score", "mean_before", "mean_after")
    )
    return row["neuron"], *numbers


def caption(rows: pl.DataFrame, context: Context) -> str:
    """What before and after are, and how the runs were made."""
    runs = rows["run"].unique().sort().to_list()
    imported = context.of("locate", runs)["imported"].is_not_null().any()
    return (
        f"Score is the change score{', or what was imported' if imported else ''}; before and after are the neuron's "
        f"mean activations under the two models. {locate_words(context, runs)}"
    )
