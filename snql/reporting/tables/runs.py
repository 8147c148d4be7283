"""The finished runs, with what they read and what they ranked or patched."""

import polars as pl

from snql.reporting.context import Context
from snql.writing.layout import Block, Cell, Column, Group, Number
from snql.writing.words import listing

NAME = "runs"
TITLE = "Runs"
QUERY = "SELECT * FROM figure_runs ORDER BY kind, run"


def cells(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each run."""
    return rows.select(
        "run",
        "kind",
        pl.col("imported").alias("imported from"),
        pl.col("model_a").alias("before or recipient"),
        pl.col("model_b").alias("after or donor"),
        _prompts().alias("prompts"),
        pl.col("n_tokens").alias("tokens"),
        pl.col("n_ranked").alias("ranked neurons"),
        pl.col("n_sets").alias("patched sets"),
        pl.col("judges").list.join(", "),
        "seed",
        "device",
        "dtype",
    )


def blocks(rows: pl.DataFrame) -> tuple[Block, ...]:
    """Locate runs and patch runs apart, because they have other columns."""
    located, patched = (rows.filter(pl.col("kind") == kind) for kind in ("locate", "patch"))
    found = (_located(located), _patched(patched))
    return tuple(block for block in found if block.groups[0].rows)


def _located(rows: pl.DataFrame) -> Block:
    columns = (_text("run"), _text("before"), _text("after"), *map(Column, ("prompts", "tokens", "ranked neurons")))
    known = rows.with_columns(_prompts().alias("n_prompts"))
    made = tuple(
        (*_names(row, "unknown"), *(_count(row[name]) for name in ("n_prompts", "n_tokens", "n_ranked", "seed")))
        for row in known.iter_rows(named=True)
    )
    return Block("Located", (*columns, Column("seed")), (Group("", made),), 3)


def _patched(rows: pl.DataFrame) -> Block:
    columns = (_text("run"), _text("recipient"), _text("donor"), Column("prompts"), Column("sets"), _text("judges"))
    made = tuple(
        (
            *_names(row, "none"),
            *(_count(row[name]) for name in ("n_prompts", "n_sets")),
            listing(row["judges"]) if row["judges"] else "",
            _count(row["seed"]),
        )
        for row in rows.iter_rows(named=True)
    )
    return Block("Patched", (*columns, Column("seed")), (Group("", made),), 3)


def _text(head: str) -> Column:
    return Column(head, "text")


def _prompts() -> pl.Expr:
    """How many prompts a run was given; of imported scores nobody knows."""
    return pl.when(pl.col("imported").is_null()).then("n_prompts")


def _names(row: dict[str, str | None], missing: str) -> tuple[str, str, str]:
    name = f"{row['run']} (imported)" if row["imported"] else row["run"] or ""
    return name, row["model_a"] or "unknown", row["model_b"] or missing


def _count(value: int | None) -> Cell:
    return None if value is None else Number(value, 0)


def caption(_: pl.DataFrame, context: Context) -> str:
    """What the columns leave to say: where the runs were made."""
    machines = listing(
        [f"{device or 'unknown device'}, {dtype or 'unknown dtype'}" for device, dtype in _kinds(context.runs)]
    )
    imported = context.runs.filter(pl.col("imported").is_not_null()).select("run", "imported").rows()
    named = (
        f" Imported: {listing([f'{run} ({file})' for run, file in imported])}; nothing shows which models they are of."
    )
    words = named if imported else ""
    return f"All finished runs. Ranked neurons leave out the layers that a run skips.{words} Made on {machines}."


def _kinds(rows: pl.DataFrame) -> list[tuple[str | None, str | None]]:
    return rows.select("device", "dtype").unique().sort("device", "dtype").rows()
