"""What the highest-ranked neurons write: the tokens of their value vectors (paper tables 2 and 9)."""

import polars as pl

from snql.neuron_pages.shade import short_token
from snql.reporting.context import Context
from snql.writing.layout import Block, Cell, Column, Group, Number
from snql.writing.words import listing

NAME = "value-vectors"
TITLE = "Tokens that value vectors promote and suppress"
TOP = 20
SHOWN = 10
WORDS = 5
QUERY = f"SELECT * FROM figure_values WHERE place <= {TOP} ORDER BY run, place"  # noqa: S608  (a constant)


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each lens run and neuron."""
    return rows.select(
        "run",
        _neuron(),
        pl.col("rank"),
        "norm",
        pl.col("refusal_cosine").alias("refusal cosine"),
        pl.col("refusal_percentile").alias("percentile in layer"),
        *(_words(side).alias(side) for side in ("promotes", "suppresses")),
    )


def _neuron() -> pl.Expr:
    plain = pl.format("L{}.N{}", "layer", "neuron")
    expert = pl.format("L{}.E{}.N{}", "layer", "expert", "neuron")
    return pl.when(pl.col("expert").is_null()).then(plain).otherwise(expert).alias("neuron")


def _words(side: str) -> pl.Expr:
    return pl.col(side).map_elements(_line, return_dtype=pl.String)


def _line(tokens: pl.Series) -> str:
    return " ".join(short_token(token) for token in tokens)


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """The first neurons of each run, with a few tokens at each end."""
    columns = (Column("neuron", "text"), Column("cosine"), Column("promotes", "text"), Column("suppresses", "text"))
    groups = []
    for (run,), group in rows.with_columns(name=_neuron()).group_by("run", maintain_order=True):
        made: list[tuple[Cell, ...]] = [
            (
                row["name"],
                None if row["refusal_cosine"] is None else Number(row["refusal_cosine"]),
                *(" ".join(short_token(token) for token in row[side][:WORDS]) for side in ("promotes", "suppresses")),
            )
            for row in group.head(SHOWN).iter_rows(named=True)
        ]
        groups.append(Group(str(run), tuple(made)))
    return (Block("", columns, tuple(groups)),)


def caption(rows: pl.DataFrame, context: Context) -> str:  # noqa: ARG001  (the same for all tables)
    """Which neurons and models, and what the cosine is."""
    models = listing(rows["model"].unique().sort().to_list())
    located = rows["located_by"].drop_nulls().unique().sort().to_list()
    order = f"Neurons in the order of run {listing(located)}. " if located else ""
    words = f"{order}Tokens whose logits a neuron's value vector raises and lowers most, of {models}; ␣ is a space. "
    if rows["refusal_cosine"].is_not_null().any():
        deviation = float(rows["chance_deviation"].max())  # type: ignore[arg-type]
        words += (
            "Cosine: with the refusal direction, difference of the mean residual streams at the last prompt token of "
            f"{_most(rows, 'n_harmful')} harmful and {_most(rows, 'n_harmless')} harmless prompts; that of a random "
            f"vector is 0 with deviation {deviation:.3f}. "
        )
    return words + "A negative activation does the opposite."


def _most(rows: pl.DataFrame, column: str) -> int:
    return int(str(rows[column].max()))
