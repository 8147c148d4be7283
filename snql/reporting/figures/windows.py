"""Where in a ranking the effect is: windows of ranks, one after the other."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, locate_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.figures.effect_size import choose_panels, limits, panel_labels, undefined_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, short_labels

NAME = "windows"
VIEW = "figure_windows"
ORDER = ("run", "dataset", "source", "begins", "rank_before", "variant")
DESCRIPTION = "causal effect of windows of ranks, by where they begin (paper figure 6)"
LACKING = "no finished patch run has windows of ranks: run `snql patch` with --window, such as --window 5%:50%"
TITLE = "Causal effect of windows of ranks, by where they begin"
EVEN = "if all neurons of the model carried the same"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run, or for each run and data set while they are few."""
    chosen = choose_panels(frame)
    place, title, form = _axis(chosen)
    shown = chosen.with_columns(place=place).filter(pl.col("place").is_not_null())
    chart = _chart(shown, title, form, look)
    return Drawing(chart, TITLE, _caption(frame, chosen, shown, context))


def _axis(shown: pl.DataFrame) -> tuple[pl.Expr, str, str]:
    """Where windows begin, its name and number format: shares of the ranking, or ranks where shares are unknown."""
    if shown["begins"].is_not_null().all() or shown["rank_before"].is_null().any():
        return pl.col("begins"), "window begins at (share of the ranked neurons)", "~%"
    return pl.col("rank_before"), "window begins after rank", "~s"


def _chart(shown: pl.DataFrame, title: str, form: str, look: Look) -> Chart:
    panels = panel_labels(shown)
    sources = short_labels(shown["source"].unique().sort(), 40)
    headed = shown.with_columns(
        panel=pl.struct("run", "dataset").map_elements(
            lambda key: panels[(key["run"], key["dataset"])], return_dtype=pl.String
        ),
        label=pl.concat_str(
            pl.lit("windows of "),
            pl.col("source").replace_strict(sources, return_dtype=pl.String),
            pl.lit(" (bar: interval)"),
        ),
    )
    controlled = bool(headed["control_mean"].is_not_null().any())
    color, shape = sourced.channels(headed["label"].unique().sort().to_list(), controlled, look)
    columns = look.columns(len(panels), most=3 if len(panels) > 4 else 2)
    span = max(headed["place"].to_list(), default=0) or 1
    scale = alt.Scale(domain=(-0.04 * span, 1.04 * span), nice=False, zero=False)
    x = alt.X("place:Q", title=title, scale=scale, axis=alt.Axis(format=form, tickCount=6, labelOverlap="greedy"))
    y = partial(
        alt.Y,
        title="causal effect",
        scale=alt.Scale(domain=limits(sourced.with_controls(shown)), nice=False, zero=False),
    )
    base = alt.Chart().encode(x=x)
    layers = [*_references(look), *_controls(base, y, controlled, look), *_windows(base, y, color, shape, look)]
    layered = alt.layer(*layers, data=charts.data(headed))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(150))
    drawn = list(dict.fromkeys(headed["panel"].to_list()))
    return charts.finish(layered.facet(facet=charts.facet(drawn), columns=columns), look, TITLE)


def _references(look: Look) -> list[alt.Chart]:
    return [
        alt.Chart()
        .mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash)
        .encode(y=alt.datum(value))
        for value, dash in ((0, [1, 0]), (1, [4, 3]))
    ]


def _controls(base: alt.Chart, y: "partial[alt.Y]", controlled: bool, look: Look) -> list[alt.Chart]:
    even = base.mark_line(strokeDash=[1, 2], strokeWidth=look.stroke(1), color=look.theme.ink)
    drawn = [even.encode(y=y("even:Q"), detail=["source:N"])]
    if controlled:
        span = base.mark_rule(strokeWidth=look.height(4.5), opacity=0.35, color=look.theme.control, clip=True)
        mean = base.mark_point(size=look.area(14), filled=True, opacity=1)
        drawn += [
            span.encode(y=y("control_min:Q"), y2="control_max:Q"),
            mean.encode(y=y("control_mean:Q"), color=alt.datum(sourced.CONTROL), shape=alt.datum(sourced.CONTROL)),
        ]
    return drawn


def _windows(base: alt.Chart, y: "partial[alt.Y]", color: alt.Color, shape: alt.Shape, look: Look) -> list[alt.Chart]:
    line = base.mark_line(strokeWidth=look.stroke(0.8), opacity=0.6, clip=True)
    bars = base.mark_rule(strokeWidth=look.stroke(1), clip=True)
    points = base.mark_point(filled=True, opacity=1, size=look.area(26))
    tooltip = [*sourced.TOOLTIP, alt.Tooltip("rank_before:Q", title="after rank", format=","), _LAST]
    return [
        line.encode(y=y("effect:Q"), color=color),
        bars.encode(y=y("ci_low:Q"), y2="ci_high:Q", color=color),
        points.encode(y=y("effect:Q"), color=color, shape=shape, tooltip=tooltip),
    ]


_LAST = alt.Tooltip("rank_last:Q", title="to rank", format=",")


def _caption(frame: pl.DataFrame, chosen: pl.DataFrame, shown: pl.DataFrame, context: Context) -> str:
    runs = shown["run"].unique().sort().to_list()
    sizes = shown["n_neurons"].to_list()
    parts = [
        f"Each point patches only the neurons of one window ({min(sizes):,} to {max(sizes):,} neurons). Effect 1: "
        "they carry the whole difference between donor and recipient; 0: none of it. "
        f"Bars are {interval_words(shown)}.",
        sourced.control_words(shown),
        "Dotted: the effect if every neuron of the model carried as much as any other; effects need not add up.",
        judge_words(shown),
        undefined_words(shown),
        patch_words(context, runs),
        locate_words(context, shown["source"].unique().sort().to_list()),
        _unplaced(chosen.height - shown.height),
        sourced.left_out(
            frame.select("run", "dataset").n_unique() - chosen.select("run", "dataset").n_unique(), "panel"
        ),
    ]
    return " ".join(part for part in parts if part)


def _unplaced(number: int) -> str:
    if not number:
        return ""
    return f"{count(number, 'window')} cannot be placed, because the ranking is no longer in the database."
