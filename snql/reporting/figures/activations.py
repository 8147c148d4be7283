"""Mean activations of the highest-ranked neurons, before and after."""

import math
from statistics import median

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import FORMAT, first_runs, neuron_names, rest_words, run_labels
from snql.writing.words import listing

NAME = "activations"
VIEW = "figure_activations"
ORDER = ("run", "rank")
DESCRIPTION = "mean activation of the highest-ranked neurons, before against after"
LACKING = "no finished locate run has ranked neurons with mean activations: run `snql locate` to get one"
TITLE = "Mean activation of the highest-ranked neurons, before and after"
MAX_PANELS = 6
KINDS = {
    "grows": "magnitude grows",
    "shrinks": "magnitude shrinks",
    "flips": "sign flips",
    "same": "no change",
}
SHAPES = {"grows": "triangle-up", "shrinks": "triangle-down", "flips": "diamond", "same": "circle"}
WIDE = 30
"""Largest over median magnitude beyond which the axes are compressed."""


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One square panel for each of the first runs by name, one point for each neuron."""
    shown, runs, n_rest = first_runs(frame, MAX_PANELS)
    columns = look.columns(len(runs))
    panels = _panels(shown, runs, look, columns)
    points = shown.with_columns(
        panel=pl.col("run").replace_strict(panels, return_dtype=pl.String),
        label=pl.col("change").replace_strict(KINDS, return_dtype=pl.String),
        name=neuron_names(),
    )
    chart = _chart(points, list(panels.values()), look, columns)
    return Drawing(chart, TITLE, _caption(shown, runs, n_rest, context))


def _panels(shown: pl.DataFrame, runs: list[str], look: Look, columns: int) -> dict[str, str]:
    sizes = shown.group_by("run").len("n").sort("run")
    labels = run_labels(runs, look, columns)
    return {run: f"{labels[run]}\n(n = {n:,})" for run, n in sizes.iter_rows()}


def _chart(points: pl.DataFrame, panels: list[str], look: Look, columns: int) -> Chart:
    side = min(look.panel_width(columns), look.height(240))
    ends, scale, axis = _axes(points, roomy=side > look.height(110))
    x = alt.X("mean_before:Q", title="mean before", scale=scale, axis=axis)
    y = alt.Y("mean_after:Q", title="mean after", scale=scale, axis=axis)
    rows = points.select("run", "name", "rank", "score", "mean_before", "mean_after", "label", "panel")
    diagonal = pl.DataFrame({"panel": panels}).join(pl.DataFrame({"end": ends}), how="cross")
    layered = alt.layer(
        *_references(scale, look),
        _points(points, look).encode(x=x, y=y, tooltip=_TOOLTIP),
        data=charts.data(pl.concat([rows, diagonal], how="diagonal")),
    )
    facet = layered.properties(width=side, height=side).facet(facet=charts.facet(panels), columns=columns)
    return charts.finish(facet.resolve_axis(x="independent"), look, TITLE)


def _references(scale: alt.Scale, look: Look) -> list[alt.Chart]:
    """Both zeros, and the line on which nothing changes."""
    zero = alt.Chart().mark_rule(color=look.theme.line, strokeWidth=look.stroke(0.6))
    same = alt.Chart().transform_filter("isValid(datum.end)")
    same = same.mark_line(color=look.theme.ink, strokeDash=charts.DASHES[1], strokeWidth=look.stroke(0.8))
    return [
        zero.encode(x=alt.X(datum=0, scale=scale)),
        zero.encode(y=alt.Y(datum=0, scale=scale)),
        same.encode(x=alt.X("end:Q", scale=scale), y=alt.Y("end:Q", scale=scale)),
    ]


def _points(points: pl.DataFrame, look: Look) -> alt.Chart:
    """One mark for each neuron, by what happened to its mean."""
    found = [kind for kind in KINDS if KINDS[kind] in points["label"]]
    labels = [KINDS[kind] for kind in found]
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(labels, look))
    colours = dict(zip(KINDS, look.theme.colours, strict=False))
    colour = alt.Scale(domain=labels, range=[colours[kind] for kind in found])
    shape = alt.Scale(domain=labels, range=[SHAPES[kind] for kind in found])
    marks: alt.Chart = alt.Chart().transform_filter("isValid(datum.label)")
    marks = marks.mark_point(size=look.area(16), strokeWidth=look.stroke(0.8), opacity=0.85)
    return marks.encode(
        color=alt.Color("label:N", scale=colour, legend=legend), shape=alt.Shape("label:N", scale=shape, legend=legend)
    )


def _axes(points: pl.DataFrame, *, roomy: bool) -> tuple[tuple[float, float], alt.Scale, alt.Axis]:
    """Ends, scale and ticks of both axes: linear, or linear near 0 and logarithmic beyond where the range is wide."""
    means = [*points["mean_before"], *points["mean_after"]]
    low, high = min(0.0, *means), max(0.0, *means)
    middle, most = median(map(abs, means)), max(map(abs, means))
    if not _wide(points):
        margin = 0.05 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        return ends, alt.Scale(domain=list(ends), nice=False, zero=False), alt.Axis(tickCount=5, format=FORMAT)
    ends = (low * 1.3 - middle / 2, high * 1.3 + middle / 2)
    last = math.floor(math.log10(most))
    powers = [10.0**last, 10.0 ** ((last + math.floor(math.log10(middle)) + 1) // 2)][: 1 + roomy]
    ticks = sorted({0.0, *powers, *(-power for power in powers)})
    axis = alt.Axis(values=[tick for tick in ticks if ends[0] <= tick <= ends[1]], format=FORMAT, labelOverlap=False)
    return ends, alt.Scale(type="symlog", constant=middle, domain=list(ends), nice=False), axis


def _wide(points: pl.DataFrame) -> bool:
    """Whether few neurons have means so large that the others could not be told apart."""
    sizes: list[float] = [abs(mean) for column in ("mean_before", "mean_after") for mean in points[column]]
    return median(sizes) > 0 and max(sizes) > WIDE * median(sizes)


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("name:N", title="neuron"),
    alt.Tooltip("rank:Q", format=","),
    alt.Tooltip("mean_before:Q", title="before", format=".4~g"),
    alt.Tooltip("mean_after:Q", title="after", format=".4~g"),
    alt.Tooltip("score:Q", title="change score", format=".4~g"),
]


def _caption(shown: pl.DataFrame, runs: list[str], n_rest: int, context: Context) -> str:
    parts = [
        "Means over all scored tokens; on the dashed line a mean is the same before and after. A high change score "
        "needs no change of the mean: it pools the changes at single tokens. The CSV file has the standard deviations "
        "over tokens.",
        "Axes are linear near 0 and logarithmic beyond." if _wide(shown) else "",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        rest_words(len(runs), n_rest),
    ]
    return " ".join(part for part in parts if part)


def _run_words(rows: pl.DataFrame) -> str:
    k, n_ranked, run = rows["k"][0], rows["n_ranked"][0], rows["run"][0]
    counts = dict(rows.group_by("change").len().iter_rows())
    kinds = listing([f"{KINDS[kind]} in {counts[kind]:,}" for kind in KINDS if kind in counts])
    which = f"the top {k:,} (5 % of {n_ranked:,})"
    if rows.height < k:
        which = f"the first {rows.height:,} of {which}"
    return f"{run}: {which}; {kinds}."
