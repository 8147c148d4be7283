"""What charts of sets from several rankings share: each set once, directions of patching, random sets as a range."""

from functools import partial
from typing import Any

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.look import Look
from snql.writing.words import count, listing, short_labels

CONTROL = "random sets (mean and range)"
TWICE = "A set that several runs patched under equal settings is drawn once."
TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("source:N", title="located by"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("effect:Q", format=".3f"),
    alt.Tooltip("ci_low:Q", title="from", format=".3f"),
    alt.Tooltip("ci_high:Q", title="to", format=".3f"),
    alt.Tooltip("control_mean:Q", title="mean of random sets", format=".3f"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def once(frame: pl.DataFrame, *keys: str) -> pl.DataFrame:
    """One row for each value of ``keys``: of several the one with most random sets, then the first run by name."""
    ordered = frame.sort("n_controls", "run", "variant", descending=[True, False, False], nulls_last=True)
    return ordered.unique(keys, keep="first", maintain_order=True)


def fairly(rows: pl.DataFrame, most: int) -> pl.DataFrame:
    """At most ``most`` rows in their order: the first of every run before the second of any."""
    placed = rows.with_row_index("_place").with_columns(pl.int_range(pl.len()).over("run").alias("_turn"))
    return placed.sort("_turn", "_place").head(most).sort("_place").drop("_place", "_turn")


def directions(frame: pl.DataFrame, length: int = 24) -> pl.Expr:
    """``recipient → donor`` of each row."""
    models = short_labels(pl.concat([frame["recipient"], frame["donor"]]).drop_nulls().unique().sort(), length)
    names = [pl.col(name).replace_strict(models, return_dtype=pl.String) for name in ("recipient", "donor")]
    return pl.concat_str(names[0], pl.lit(" → "), names[1])


def places(frame: pl.DataFrame, length: int = 22) -> pl.Expr:
    """``data set (n = 100)`` of each row."""
    datasets = short_labels(frame["dataset"].unique().sort(), length) | {"*": "all data sets"}
    named = pl.col("dataset").replace_strict(datasets, return_dtype=pl.String)
    return pl.concat_str(named, pl.lit(" (n = "), pl.col("n_prompts").cast(pl.String), pl.lit(")"))


def with_controls(frame: pl.DataFrame) -> pl.DataFrame:
    """Effects and ends of intervals that an axis must hold: those of the sets and of their random sets."""
    ranges = [frame.select(effect=column, ci_low=column, ci_high=column) for column in ("control_min", "control_max")]
    return pl.concat([frame.select("effect", "ci_low", "ci_high"), *ranges])


def references(axis: "partial[Any]", name: str, look: Look) -> list[alt.Chart]:
    """Lines at effects 0 and 1, dashed. ``axis`` makes the x or y channel, ``name`` says which."""
    return [
        alt.Chart(alt.InlineData(values=[{"at": value}]))
        .mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash)
        .encode(**{name: axis("at:Q")})
        for value, dash in ((0, [1, 0]), (1, [4, 3]))
    ]


def channels(labels: list[str], controlled: bool, look: Look, control: str = CONTROL) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the series, and of the random sets where there are any."""
    domain = [*labels, control] if controlled else labels
    colours = [*charts.cycle(look.theme.colours, len(labels)), look.theme.control][: len(domain)]
    shapes = [*charts.cycle(charts.SHAPES, len(labels)), "diamond"][: len(domain)]
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(domain, look))
    return (
        alt.Color("label:N", scale=alt.Scale(domain=domain, range=colours), legend=legend),
        alt.Shape("label:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend),
    )


def control_words(shown: pl.DataFrame) -> str:
    """What the grey marks are, or that there are none."""
    numbers = shown.filter(pl.col("n_controls") > 0)["n_controls"]
    if numbers.is_empty():
        return "No random sets were patched, so nothing shows what any set of this size would do."
    sets = listing([str(number) for number in numbers.unique().sort().to_list()])
    return f"Grey: mean and range of random sets with as many neurons in each layer ({sets} for each set)."


def left_out(number: int, noun: str) -> str:
    """How many of something are only in the CSV file; empty if none."""
    return f"{count(number, f'more {noun}')} not drawn (see the CSV file)." if number else ""
