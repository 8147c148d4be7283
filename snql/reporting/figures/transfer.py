"""Whether the effect of a neuron set holds on other data sets."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import short_labels

MAX_RUNS = 8
TOOLTIP = marks.tooltip(
    "run", "dataset", "variant", "n_neurons", "effect", *marks.INTERVAL, "control_mean", "n_prompts"
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run, one line for each data set."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_RUNS)
    controlled = bool(shown["control_mean"].is_not_null().any())
    words = [
        f"{captions.MAIN_SET} Bars are {interval_words(shown)}.",
        "Grey: range and mean of random sets with as many neurons in each layer."
        if controlled
        else captions.NO_CONTROLS,
        judge_words(shown),
        patch_words(context, runs),
        captions.undefined(shown),
        captions.left_out(n_rest, "run"),
    ]
    labelled = shown.with_columns(
        label=rows.short(shown, "variant", 34), place=rows.datasets(shown, 30, "\n" if look.narrow else " ")
    ).sort("run", "label", pl.col("dataset") == "*", "dataset")
    found = series.channels(series.with_control(rows.runs(labelled, "label"), look, controlled=controlled), look)
    scale = axes.effect_scale(shown)
    drawn: list[Chart] = []
    for run, name in short_labels(runs, 40).items():
        x = axes.effects_across(scale, last=run == runs[-1])
        base = _base(labelled.filter(pl.col("run") == run), look)
        layers = [
            *marks.effect_lines(x, look),
            *(marks.control_ranges(base, x, look) if controlled else ()),
            *marks.sets(base.encode(color=found.color), x, look, shape=found.shape, tooltip=TOOLTIP),
        ]
        step = alt.Step(look.height(22 if look.narrow else 16))
        drawn.append(panels.panel(layers, look, step, title=panels.heading(name, look)))
    return alt.vconcat(*drawn, spacing=look.height(9)), words


def _base(of_run: pl.DataFrame, look: Look) -> alt.Chart:
    """The rows of one run by data set, sets of one data set below each other."""
    places = of_run.sort(pl.col("dataset") == "*", "dataset")["place"].unique(maintain_order=True).to_list()
    labels = rows.runs(of_run, "label")
    base: alt.Chart = alt.Chart(charts.data(of_run)).encode(y=axes.names(places, look))
    return base.encode(yOffset=alt.YOffset("label:N", sort=labels)) if len(labels) > 1 else base


FIGURE = Figure(
    name="transfer",
    view="figure_transfer",
    order=("run", "series", "variant", "dataset"),
    title="Causal effect on each data set",
    description="causal effect of each run's main neuron set on each data set, with the range of random sets",
    lacking="no finished patch run with a donor has more than one data set: run `snql patch … --prompts A --prompts B`",
    sketch=_sketch,
)
