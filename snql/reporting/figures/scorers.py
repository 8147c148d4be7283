"""The causal effect of the top of each scorer's ranking."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.figures.effect_size import limits, undefined_words
from snql.reporting.figures.transfer import CONTROL, UNDEFINED_AT, controls, references, with_controls
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, short_labels

NAME = "scorers"
VIEW = "scorer_effects"
ORDER = ("run", "variant", "judge_position", "judge", "dataset")
DESCRIPTION = "causal effect of equally large tops of rankings by several scorers, with the range of random sets"
LACKING = "no finished patch run has sets of several scorers: run `snql compare-scorers`"
TITLE = "Causal effect of rankings by several scorers"
MAX_RUNS = 4
SET = "top of the ranking"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run, one line for each ranking, the highest effect first."""
    rows = frame.filter(pl.col("pooled") & (pl.col("judge_position") == 1))
    runs = rows["run"].unique().sort().to_list()
    shown = rows.filter(pl.col("run").is_in(runs[:MAX_RUNS]))
    return Drawing(_chart(shown, look), TITLE, _caption(shown, runs, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    scale = alt.Scale(domain=limits(with_controls(shown)), nice=False, zero=False)
    names = short_labels(shown["run"].unique().sort(), 40)
    color, shape = _channels(look)
    panels = []
    for place, (run, name) in enumerate(names.items(), start=1):
        last = place == len(names)
        axis = alt.Axis(title="causal effect" if last else None, labels=last, ticks=last)
        x = partial(alt.X, scale=scale, axis=axis)
        base = _base(shown.filter(pl.col("run") == run), look)
        layers = [*references(x, look), *controls(base, x, look), *_sets(base.encode(color=color), x, shape, look)]
        panels.append(
            alt.layer(*layers).properties(
                width=look.panel_width(),
                height=alt.Step(look.height(24 if look.narrow else 17)),
                title=alt.Title(name, fontSize=look.size(1.1), offset=look.height(4), frame="group"),
            )
        )
    return charts.finish(alt.vconcat(*panels, spacing=look.height(9)), look, TITLE)


def _base(rows: pl.DataFrame, look: Look) -> alt.Chart:
    several = rows.group_by("scorer").len()["len"].to_list() != [1] * rows["scorer"].n_unique()
    names = pl.col("variant") if several else pl.col("scorer")
    size = pl.format("{}({} neurons)", pl.lit("\n" if look.narrow else " "), pl.col("n_neurons"))
    placed = rows.sort("effect", "variant", descending=[True, False], nulls_last=True).with_columns(place=names + size)
    y = alt.Y("place:N", sort=placed["place"].to_list(), title=None, axis=charts.labels_in_lines(look))
    return alt.Chart(charts.data(placed.with_columns(label=pl.lit(SET)))).encode(y=y)


def _channels(look: Look) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the sets and of the random sets."""
    domain = [SET, CONTROL]
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(domain, look))
    colours = alt.Scale(domain=domain, range=[look.theme.colours[0], look.theme.control])
    shapes = alt.Scale(domain=domain, range=[charts.SHAPES[0], "diamond"])
    return alt.Color("label:N", scale=colours, legend=legend), alt.Shape("label:N", scale=shapes, legend=legend)


def _sets(base: alt.Chart, x: "partial[alt.X]", shape: alt.Shape, look: Look) -> list[alt.Chart]:
    undefined = base.transform_filter("!isValid(datum.effect)").mark_text(
        text="undefined", align="left", fontSize=look.size(), color=look.theme.muted
    )
    bars = base.mark_rule(strokeWidth=look.stroke(1.1), clip=True)
    points = base.mark_point(size=look.area(30), filled=True, opacity=1)
    return [
        undefined.encode(x=alt.value(look.height(UNDEFINED_AT)), color=alt.value(look.theme.muted)),
        bars.encode(x=x("ci_low:Q"), x2="ci_high:Q"),
        points.encode(x=x("effect:Q"), shape=shape, tooltip=[*sourced.TOOLTIP, *_MORE]),
    ]


_MORE = [
    alt.Tooltip("scorer:N"),
    alt.Tooltip("overlap:Q", title="share in change-score's set", format=".2f"),
    alt.Tooltip("chance:Q", title="by chance", format=".2f"),
]


def _caption(shown: pl.DataFrame, runs: list[str], context: Context) -> str:
    names = shown["run"].unique().sort().to_list()
    parts = [
        f"Bars are {interval_words(shown)}; grey: range and mean of random sets with as many neurons in each layer. "
        "A scorer that leaves neurons out may have a smaller set.",
        judge_words(shown),
        patch_words(context, names),
        undefined_words(shown),
    ]
    if len(runs) > len(names):
        parts.append(f"{count(len(runs) - len(names), 'more run')} not drawn (see the CSV file).")
    return " ".join(part for part in parts if part)
