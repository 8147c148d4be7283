"""Where in a ranking the effect is: windows of ranks, one after the other."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, interval_words, judge_words, locate_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count

TOOLTIP = marks.tooltip(*marks.SET, ("rank_before", "after rank", ","), ("rank_last", "to rank", ","))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run, or for each run and data set while they are few."""
    chosen = rows.few_panels(frame)
    place, title, form = _axis(chosen)
    shown = chosen.with_columns(place=place).drop_nulls("place")
    sizes = shown["n_neurons"].to_list()
    unplaced = chosen.height - shown.height
    keys = ["run", "dataset"]
    words = [
        f"Each point patches only the neurons of one window ({min(sizes):,} to {max(sizes):,} neurons). Effect 1: "
        "they carry the whole difference between donor and recipient; 0: none of it. "
        f"Bars are {interval_words(shown)}.",
        captions.controls(shown),
        "Dotted: the effect if every neuron of the model carried as much as any other; effects need not add up.",
        judge_words(shown),
        captions.undefined(shown),
        patch_words(context, rows.runs(shown)),
        locate_words(context, rows.runs(shown, "source")),
        f"{count(unplaced, 'window')} cannot be placed, because the ranking is no longer in the database."
        if unplaced
        else "",
        captions.left_out(frame.select(keys).n_unique() - chosen.select(keys).n_unique(), "panel"),
    ]
    span = max(shown["place"].to_list(), default=0) or 1
    scale = plain(domain=(-0.04 * span, 1.04 * span), nice=False, zero=False)
    axis = plain(format=form, tickCount=6, labelOverlap="greedy")
    return _chart(shown, alt.X("place:Q", title=title, scale=scale, axis=axis), look), words


def _axis(shown: pl.DataFrame) -> tuple[pl.Expr, str, str]:
    """Where windows begin, its name and number format: shares of the ranking, or ranks where shares are unknown."""
    if shown["begins"].is_not_null().all() or shown["rank_before"].is_null().any():
        return pl.col("begins"), "window begins at (share of the ranked neurons)", "~%"
    return pl.col("rank_before"), "window begins after rank", "~s"


def _chart(shown: pl.DataFrame, x: alt.X, look: Look) -> Chart:
    headed = rows.in_panels(shown).with_columns(
        label=pl.format("windows of {} (bar: interval)", rows.short(shown, "source", 40))
    )
    controlled = bool(headed["control_mean"].is_not_null().any())
    found = series.channels(series.with_control(rows.runs(headed, "label"), look, controlled=controlled), look)
    y = axes.y(title="causal effect", scale=axes.effect_scale(shown))
    base = alt.Chart().encode(x=x)
    layers = [
        *marks.effect_lines(y, look, facets=True),
        marks.line(base, y, "even", look, 1, strokeDash=[1, 2], color=look.theme.ink).encode(detail=["source:N"]),
        *(marks.control_ranges(base, y, look) if controlled else ()),
        marks.line(base, y, "effect", look, 0.8, opacity=0.6, clip=True).encode(color=found.color),
        marks.bars(base, y, marks.INTERVAL, look, 1, clip=True).encode(color=found.color),
        marks.points(base, y, "effect", look, tooltip=TOOLTIP, **found.marks),
    ]
    return panels.facets(
        layers, headed, look, panels.in_a_row(headed["panel"].n_unique(), look), look.height(150), own=""
    )


FIGURE = Figure(
    name="windows",
    view="figure_windows",
    order=("run", "dataset", "source", "begins", "rank_before", "variant"),
    title="Causal effect of windows of ranks, by where they begin",
    description="causal effect of windows of ranks, by where they begin (paper figure 6)",
    lacking="no finished patch run with a donor has windows of ranks: run `snql patch … --window 5%:50%`",
    sketch=_sketch,
)
