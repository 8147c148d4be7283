"""The causal effect of the top of each scorer's ranking."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import short_labels

MAX_RUNS = 4
SET = "top of the ranking"
TOOLTIP = marks.tooltip(
    *marks.SET, "scorer", ("overlap", "share in change-score's set", ".2f"), ("chance", "by chance", ".2f")
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run, one line for each ranking, the highest effect first."""
    shown, runs, n_rest = rows.first_runs(frame.filter(pl.col("pooled") & (pl.col("judge_position") == 1)), MAX_RUNS)
    words = [
        f"Bars are {interval_words(shown)}; grey: range and mean of random sets with as many neurons in each layer. "
        "A scorer that leaves neurons out may have a smaller set.",
        judge_words(shown),
        patch_words(context, runs),
        captions.undefined(shown),
        captions.left_out(n_rest, "run"),
    ]
    found = series.channels(series.with_control([SET], look, controlled=True), look)
    scale = axes.effect_scale(shown)
    labels = short_labels(runs, 40)
    drawn: list[Chart] = []
    for run in runs:
        placed = _placed(shown.filter(pl.col("run") == run), look)
        x = axes.effects_across(scale, last=run == runs[-1])
        base = alt.Chart(charts.data(placed)).encode(y=axes.names(placed["place"].to_list(), look))
        layers = [
            *marks.effect_lines(x, look),
            *marks.control_ranges(base, x, look),
            *marks.sets(base.encode(color=found.color), x, look, shape=found.shape, tooltip=TOOLTIP),
        ]
        step = alt.Step(look.height(24 if look.narrow else 17))
        drawn.append(panels.panel(layers, look, step, title=panels.heading(labels[run], look)))
    return alt.vconcat(*drawn, spacing=look.height(9)), words


def _placed(of_run: pl.DataFrame, look: Look) -> pl.DataFrame:
    """The rows of one run with the name of their line, the highest effect first."""
    several = of_run["scorer"].is_duplicated().any()
    name = pl.col("variant") if several else pl.col("scorer")
    size = pl.format("{}({} neurons)", pl.lit("\n" if look.narrow else " "), pl.col("n_neurons"))
    placed = of_run.sort("effect", "variant", descending=[True, False], nulls_last=True)
    return placed.with_columns(place=name + size, label=pl.lit(SET))


FIGURE = Figure(
    name="scorers",
    view="scorer_effects",
    order=("run", "variant", "judge_position", "judge", "dataset"),
    title="Causal effect of rankings by several scorers",
    description="causal effect of equally large tops of rankings by several scorers, with the range of random sets",
    lacking="no finished patch run with a donor has sets of several scorers: run `snql compare-scorers`",
    sketch=_sketch,
)
