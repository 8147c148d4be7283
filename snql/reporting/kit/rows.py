"""Which rows are drawn where a view has more than fit, and what their runs, sets, neurons and data sets are called."""

from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from snql.reporting.look import Look
from snql.writing.words import short_labels

EVERYWHERE = "all data sets"
PANELS_WITH_DATASETS, MAX_PANELS = 6, 12


def runs(frame: pl.DataFrame, column: str = "run") -> list[str]:
    """The names in a column, each once, sorted."""
    names: list[str] = frame[column].unique().sort().to_list()
    return names


def first_runs(frame: pl.DataFrame, most: int) -> tuple[pl.DataFrame, list[str], int]:
    """The rows of the first ``most`` runs by name, these names, and how many other runs there are."""
    names = runs(frame)
    return frame.filter(pl.col("run").is_in(names[:most])), names[:most], max(0, len(names) - most)


def first(frame: pl.DataFrame, most: int, *keys: str) -> tuple[pl.DataFrame, int]:
    """The rows of the first ``most`` values of ``keys`` in the order of the rows, and how many others there are."""
    found = frame.select(keys).unique(maintain_order=True)
    shown = frame.join(found.head(most), on=keys, how="semi", maintain_order="left")
    return shown, max(0, found.height - most)


def once(frame: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """One row for each value of ``keys``: of several the one with most random sets, then the first run by name."""
    ordered = frame.sort("n_controls", "run", "variant", descending=[True, False, False], nulls_last=True)
    return ordered.unique(keys, keep="first", maintain_order=True)


def fairly(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most ``most`` rows in their order: the first of every run before the second of any."""
    placed = rows.with_row_index("_place").with_columns(pl.int_range(pl.len()).over("run").alias("_turn"))
    return placed.sort("_turn", "_place").head(most).sort("_place").drop("_place", "_turn")


def pooled(frame: pl.DataFrame) -> pl.DataFrame:
    """Of runs with several data sets only what pools them."""
    return frame.filter((pl.col("dataset") == "*") | (pl.col("dataset").n_unique().over("run") == 1))


def main(frame: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most ``most`` rows, of every run some; where they are more, those of all its data sets together."""
    return fairly(frame if frame.height <= most else pooled(frame), most)


def few_panels(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows to show: every run and data set if they are few, else what pools each run's data sets."""
    if frame.select("run", "dataset").n_unique() <= PANELS_WITH_DATASETS:
        return frame
    several = pl.col("dataset").n_unique().over("run") > 1
    shown, _, _ = first_runs(frame.filter(~several | pl.col("pooled")), MAX_PANELS)
    return shown


def panel_labels(shown: pl.DataFrame) -> dict[tuple[str, str], str]:
    """The heading of each (run, data set): the run, the data set and the number of prompts."""
    keys = shown.group_by("run", "dataset").agg(pl.col("n_prompts").max()).sort("run", "dataset")
    names, datasets = short_labels(keys["run"], 22), short_labels(keys["dataset"], 18) | {"*": EVERYWHERE}
    return {(run, dataset): f"{names[run]}\n{datasets[dataset]} (n = {n:,})" for run, dataset, n in keys.iter_rows()}


def in_panels(shown: pl.DataFrame) -> pl.DataFrame:
    """The rows with the column ``panel``: the heading of their run and data set."""
    labels = panel_labels(shown)
    keys = pl.DataFrame([(*key, label) for key, label in labels.items()], ["run", "dataset", "panel"], orient="row")
    return shown.join(keys, on=["run", "dataset"], how="left", maintain_order="left")


def by_run(frame: pl.DataFrame, labels: Mapping[str, str], words: Callable[[Mapping[str, Any]], str]) -> pl.DataFrame:
    """The rows with the column ``panel``: the label of their run, and what ``words`` says of its first row."""
    rows = frame.unique("run", keep="first", maintain_order=True).iter_rows(named=True)
    panels = {row["run"]: f"{labels[row['run']]}\n{words(row)}" for row in rows}
    return frame.with_columns(panel=pl.col("run").replace_strict(panels, return_dtype=pl.String))


def run_labels(names: list[str], look: Look, columns: int) -> dict[str, str]:
    """A label for each run that fits the heading of one of ``columns`` panels in a row."""
    room = 0.7 * look.width / columns
    return short_labels(names, max(8, min(26, int(room / (0.53 * look.size(1.1))))))


def neuron_names() -> pl.Expr:
    """``L12.N345``, or ``L12.E3.N345`` in a mixture of experts, from layer, expert and neuron."""
    expert = pl.when(pl.col("expert").is_null()).then(pl.lit("")).otherwise(pl.format("E{}.", "expert"))
    return pl.format("L{}.{}N{}", "layer", expert, "neuron")


def short(frame: pl.DataFrame, column: str, length: int, like: str = "") -> pl.Expr:
    """A short label for each value of a column, different for different values; all data sets are called so.

    ``like`` names a column whose values share the labels: the same value has the same one.
    """
    values = pl.concat([frame[name] for name in (column, like) if name]).drop_nulls().unique().sort()
    labels = short_labels(values, length) | ({"*": EVERYWHERE} if column == "dataset" else {})
    return pl.col(column).replace_strict(labels, return_dtype=pl.String)


def directions(frame: pl.DataFrame, length: int = 24) -> pl.Expr:
    """``recipient → donor`` of each row."""
    recipient, donor = short(frame, "recipient", length, "donor"), short(frame, "donor", length, "recipient")
    return pl.concat_str(recipient, pl.lit(" → "), donor)


def datasets(frame: pl.DataFrame, length: int = 22, between: str = " ") -> pl.Expr:
    """``data set (n = 100)`` of each row."""
    return pl.format(f"{{}}{between}(n = {{}})", short(frame, "dataset", length), "n_prompts")
