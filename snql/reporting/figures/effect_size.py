"""Causal effect against the number of patched neurons, beside matched random sets."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing, short_labels

NAME = "effect-size"
VIEW = "figure_effect_size"
ORDER = ("run", "dataset", "series", "kind", "n_neurons", "variant")
DESCRIPTION = "causal effect against number of patched neurons, with matched random sets (paper figure 2)"
LACKING = "no finished patch run has sets of several sizes: run `snql patch` with --sweep and --judge to get some"
TITLE = "Causal effect of the patched neurons, by their number"
MAX_PANELS = 12
PANELS_WITH_DATASETS = 6
CONTROL = "random sets (points, mean, range)"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run, or for each run and data set while they are few."""
    shown = choose_panels(frame)
    panels = panel_labels(shown)
    marked = _marks(shown, panels)
    drawn = [panel for panel in panels.values() if panel in marked["panel"]]
    chart = _chart(marked, drawn, look)
    return Drawing(chart, TITLE, _caption(frame, shown, context))


def choose_panels(frame: pl.DataFrame) -> pl.DataFrame:
    """Rows to show: every run and data set if they are few, else what pools each run's data sets."""
    if frame.select("run", "dataset").n_unique() <= PANELS_WITH_DATASETS:
        return frame
    several = pl.col("dataset").n_unique().over("run") > 1
    pooled = frame.filter(~several | pl.col("pooled"))
    runs = pooled["run"].unique().sort().to_list()[:MAX_PANELS]
    return pooled.filter(pl.col("run").is_in(runs))


def panel_labels(shown: pl.DataFrame) -> dict[tuple[str, str], str]:
    """The heading of each (run, data set): the run, the data set and the number of prompts."""
    keys = shown.group_by("run", "dataset").agg(pl.col("n_prompts").max()).sort("run", "dataset")
    runs, datasets = short_labels(keys["run"], 22), short_labels(keys["dataset"], 18)
    datasets["*"] = "all data sets"
    return {(run, dataset): f"{runs[run]}\n{datasets[dataset]} (n = {n:,})" for run, dataset, n in keys.iter_rows()}


def _marks(shown: pl.DataFrame, panels: dict[tuple[str, str], str]) -> pl.DataFrame:
    """Rows to draw: sets, single controls, and one summary row of the controls of each set."""
    labels = short_labels(shown["series"].unique().sort(), 40)
    alone = len(labels) == 1
    headed = shown.with_columns(
        panel=pl.struct("run", "dataset").map_elements(
            lambda key: panels[(key["run"], key["dataset"])], return_dtype=pl.String
        ),
        label=pl.lit("patched neurons (bar: interval)")
        if alone
        else pl.col("series").replace_strict(labels, return_dtype=pl.String),
    )
    defined = headed.filter(pl.col("effect").is_not_null())
    summary = headed.filter((pl.col("kind") == "set") & pl.col("control_mean").is_not_null())
    summary = summary.with_columns(kind=pl.lit("controls"))
    rows = pl.concat([defined, summary])
    control = pl.col("kind") != "set"
    return rows.with_columns(label=pl.when(control).then(pl.lit(CONTROL)).otherwise("label")).sort(
        "panel", "kind", "series", "n_neurons", "variant"
    )


def limits(frame: pl.DataFrame) -> tuple[float, float]:
    """Ends of the effect axis: all effects, 0 and 1; intervals up to one unit beyond, the rest is cut."""
    defined = frame.filter(pl.col("effect").is_not_null())
    low, high = [*defined["effect"], 0.0], [*defined["effect"], 1.0]
    bottom = max(min([*defined["ci_low"].drop_nulls(), *low]), min(low) - 1)
    top = min(max([*defined["ci_high"].drop_nulls(), *high]), max(high) + 1)
    return bottom - 0.04 * (top - bottom), top + 0.04 * (top - bottom)


def _chart(marked: pl.DataFrame, panels: list[str], look: Look) -> Chart:
    series = [label for label in marked["label"].unique().sort().to_list() if label != CONTROL]
    has_controls = bool((marked["label"] == CONTROL).any())
    domain = [*series, CONTROL] if has_controls else series
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(domain, look))
    colours = charts.cycle(look.theme.colours, len(series)) + [look.theme.control] * has_controls
    shapes = charts.cycle(charts.SHAPES, len(series)) + ["diamond"] * has_controls
    columns = look.columns(len(panels), most=3 if len(panels) > 4 else 2)
    x = alt.X("n_neurons:Q", title="patched neurons", scale=x_scale(marked), axis=x_axis())
    y = partial(alt.Y, title="causal effect", scale=alt.Scale(domain=limits(marked), nice=False, zero=False))
    base = alt.Chart().encode(
        x=x, color=alt.Color("label:N", scale=alt.Scale(domain=domain, range=colours), legend=legend)
    )
    shape = alt.Shape("label:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend)
    layers = _references(look) + _controls(base, y, shape, look) + _sets(base, y, shape, series, look)
    layered = alt.layer(*layers, data=charts.data(marked))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(150))
    facet = layered.facet(facet=charts.facet(panels), columns=columns)
    facet = facet.resolve_axis(x="independent")
    return charts.finish(facet, look, TITLE)


def _references(look: Look) -> list[alt.Chart]:
    return [
        alt.Chart()
        .mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash)
        .encode(y=alt.datum(value))
        for value, dash in ((0, [1, 0]), (1, [4, 3]))
    ]


def _controls(base: alt.Chart, y: "partial[alt.Y]", shape: alt.Shape, look: Look) -> list[alt.Chart]:
    summary = base.transform_filter("datum.kind == 'controls'")
    band = summary.mark_area(opacity=0.18, clip=True, color=look.theme.control).encode(
        y=y("control_min:Q"),
        y2="control_max:Q",
        color=alt.value(look.theme.control),
        detail=["series:N"],
    )
    mean = summary.mark_line(strokeDash=[5, 3], strokeWidth=look.stroke(1), clip=True).encode(
        y=y("control_mean:Q"), detail=["series:N"]
    )
    points = base.transform_filter("datum.kind == 'control'")
    points = points.mark_point(size=look.area(9), strokeWidth=look.stroke(0.7), clip=True)
    return [
        band,
        mean,
        points.encode(y=y("effect:Q"), shape=shape, tooltip=[*_TOOLTIP, alt.Tooltip("control_seed:Q", title="seed")]),
    ]


def _sets(base: alt.Chart, y: "partial[alt.Y]", shape: alt.Shape, series: list[str], look: Look) -> list[alt.Chart]:
    sets = base.transform_filter("datum.kind == 'set'")
    bars = sets.mark_rule(strokeWidth=look.stroke(1), clip=True).encode(y=y("ci_low:Q"), y2="ci_high:Q")
    dashes = alt.Scale(domain=series, range=charts.cycle(charts.DASHES, len(series)))
    dash = alt.StrokeDash("label:N", scale=dashes, legend=None)
    points = sets.mark_point(filled=True, opacity=1, size=look.area(26))
    return [
        sets.mark_line(strokeWidth=look.stroke(1.3), clip=True).encode(
            y=y("effect:Q"), strokeDash=dash, detail=["series:N"]
        ),
        bars,
        points.encode(y=y("effect:Q"), shape=shape, tooltip=[*_TOOLTIP, *_INTERVAL]),
    ]


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("fraction:Q", title="share of neurons", format=".3~%"),
    alt.Tooltip("effect:Q", format=".3f"),
]
_INTERVAL = [
    alt.Tooltip("ci_low:Q", title="from", format=".3f"),
    alt.Tooltip("ci_high:Q", title="to", format=".3f"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
    alt.Tooltip("control_mean:Q", title="mean of random sets", format=".3f"),
]


def x_scale(marked: pl.DataFrame) -> alt.Scale:
    sizes = marked["n_neurons"]
    smallest, largest = min(sizes, default=1), max(sizes, default=1)
    if smallest > 0 and largest / smallest > 30:
        return alt.Scale(type="log", nice=False, domain=(smallest / 1.4, largest * 1.4))
    return alt.Scale(nice=False, domain=(0, max(largest, 1) * 1.06))


def x_axis() -> alt.Axis:
    return alt.Axis(format="~s", tickCount=5, labelFlush=False, labelOverlap="greedy")


def _caption(frame: pl.DataFrame, shown: pl.DataFrame, context: Context) -> str:
    sets = shown.filter(pl.col("kind") == "set")
    parts = [
        "Effect 1: the patched neurons carry the whole difference between donor and recipient; 0: none of it.",
        f"Bars are {interval_words(sets)}.",
        _control_words(shown),
        judge_words(sets),
        patch_words(context, sets["run"].unique().sort().to_list()),
        undefined_words(shown),
        _empty(sets),
        _left_out(frame, shown),
    ]
    return " ".join(part for part in parts if part)


def _control_words(shown: pl.DataFrame) -> str:
    controls = shown.filter(pl.col("kind") == "control")
    if controls.is_empty():
        return "No random sets were patched, so nothing shows what any set of this size would do."
    seeds = controls["control_seed"].unique().sort()
    return (
        "Grey: random sets with as many neurons in each layer, disjoint from the set "
        f"({count(len(seeds), 'seed')}: {listing([str(seed) for seed in seeds])}); dashed, their mean; "
        "band, their range."
    )


def _empty(sets: pl.DataFrame) -> str:
    """Which panels are not there because none of their effects is defined."""
    panels = sets.group_by("run", "dataset").agg(pl.col("effect").count()).filter(pl.col("effect") == 0)
    names = [
        run if dataset == "*" else f"{run} ({dataset})" for run, dataset, _ in panels.sort("run", "dataset").rows()
    ]
    return f"No effect is defined in {listing(names)}." if names else ""


def undefined_words(rows: pl.DataFrame) -> str:
    """How many effects are undefined, and why; empty if none is."""
    undefined = rows.filter(pl.col("effect").is_null()).height
    if not undefined:
        return ""
    verb = "is" if undefined == 1 else "are"
    return (
        f"{count(undefined, 'effect')} of {rows.height:,} {verb} undefined and not drawn, because the interval "
        "of the donor-recipient difference covers 0."
    )


def _left_out(frame: pl.DataFrame, shown: pl.DataFrame) -> str:
    runs = frame["run"].n_unique() - shown["run"].n_unique()
    datasets = frame.filter(pl.col("run").is_in(shown["run"].unique().to_list()))
    parts = []
    if datasets.select("run", "dataset").n_unique() > shown.select("run", "dataset").n_unique():
        parts.append("Data sets are pooled here; the table of effects has each of them.")
    if runs:
        parts.append(f"{count(runs, 'more run')} {'is' if runs == 1 else 'are'} only in the table of effects.")
    return " ".join(parts)
