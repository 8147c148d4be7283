"""Mean activations of the highest-ranked neurons, before and after."""

import math
from statistics import median

import altair as alt
import polars as pl

from snql.reporting.context import Context, locate_words
from snql.reporting.kit import captions, marks, panels, rows, series
from snql.reporting.kit.axes import FORMAT
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import Plain, plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import listing

MAX_PANELS = 6
KINDS = {
    "grows": "magnitude grows",
    "shrinks": "magnitude shrinks",
    "flips": "sign flips",
    "same": "no change",
}
SHAPES = ("triangle-up", "triangle-down", "diamond", "circle")
WIDE = 30
"""Largest over median magnitude beyond which the axes are compressed."""


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One square panel for each of the first runs by name, one point for each neuron."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    columns = look.columns(len(runs))
    sized = shown.with_columns(n=pl.len().over("run"))
    points = rows.by_run(sized, rows.run_labels(runs, look, columns), lambda row: f"(n = {row['n']:,})").with_columns(
        label=pl.col("change").replace_strict(KINDS, return_dtype=pl.String), name=rows.neuron_names()
    )
    words = [
        "Means over all scored tokens; on the dashed line a mean is the same before and after. A high change score "
        "needs no change of the mean: it pools the changes at single tokens. The CSV file has the standard deviations "
        "over tokens.",
        "Axes are linear near 0 and logarithmic beyond." if _wide(shown) else "",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    return _chart(points, look, columns), words


def _chart(points: pl.DataFrame, look: Look, columns: int) -> Chart:
    side = min(look.panel_width(columns), look.height(240))
    ends, scale, axis = _axes(points, roomy=side > look.height(110))
    drawn = points.select("run", "name", "rank", "score", "mean_before", "mean_after", "label", "panel")
    diagonal = pl.DataFrame({"panel": panels.order(drawn)}).join(pl.DataFrame({"end": ends}), how="cross")
    same = alt.Chart().transform_filter("isValid(datum.end)")
    same = same.mark_line(color=look.theme.ink, strokeDash=series.DASHES[1], strokeWidth=look.stroke(0.8))
    found = dict(zip(KINDS.values(), map(Mark, look.theme.colours, SHAPES), strict=False))
    marked = {label: mark for label, mark in found.items() if label in points["label"]}
    neurons = alt.Chart().transform_filter("isValid(datum.label)")
    neurons = neurons.mark_point(size=look.area(16), strokeWidth=look.stroke(0.8), opacity=0.85)
    layers = [
        marks.zero(look, x=alt.X(datum=0, scale=scale)),
        marks.zero(look, y=alt.Y(datum=0, scale=scale)),
        same.encode(x=alt.X("end:Q", scale=scale), y=alt.Y("end:Q", scale=scale)),
        neurons.encode(
            x=alt.X("mean_before:Q", title="mean before", scale=scale, axis=axis),
            y=alt.Y("mean_after:Q", title="mean after", scale=scale, axis=axis),
            tooltip=TOOLTIP,
            **series.channels(marked, look).marks,
        ),
    ]
    data = pl.concat([drawn, diagonal], how="diagonal")
    return panels.facets(layers, data, look, columns, side, width=side)


TOOLTIP = marks.tooltip(
    "run", "name", "rank", ("mean_before", "before", ".4~g"), ("mean_after", "after", ".4~g"), ("score", "change score")
)


def _axes(points: pl.DataFrame, *, roomy: bool) -> tuple[tuple[float, float], Plain, Plain]:
    """Ends, scale and ticks of both axes: linear, or linear near 0 and logarithmic beyond where the range is wide."""
    means = [*points["mean_before"], *points["mean_after"]]
    low, high = min(0.0, *means), max(0.0, *means)
    middle, most = median(map(abs, means)), max(map(abs, means))
    if not _wide(points):
        margin = 0.05 * (high - low) or 1.0
        ends = (low - margin, high + margin)
        return ends, plain(domain=list(ends), nice=False, zero=False), plain(tickCount=5, format=FORMAT)
    ends = (low * 1.3 - middle / 2, high * 1.3 + middle / 2)
    last = math.floor(math.log10(most))
    powers = [10.0**last, 10.0 ** ((last + math.floor(math.log10(middle)) + 1) // 2)][: 1 + roomy]
    ticks = sorted({0.0, *powers, *(-power for power in powers)})
    axis = plain(values=[tick for tick in ticks if ends[0] <= tick <= ends[1]], format=FORMAT, labelOverlap=False)
    return ends, plain(type="symlog", constant=middle, domain=list(ends), nice=False), axis


def _wide(points: pl.DataFrame) -> bool:
    """Whether few neurons have means so large that the others could not be told apart."""
    sizes: list[float] = [abs(mean) for column in ("mean_before", "mean_after") for mean in points[column]]
    return median(sizes) > 0 and max(sizes) > WIDE * median(sizes)


def _run_words(rows: pl.DataFrame) -> str:
    k, n_ranked, run = rows["k"][0], rows["n_ranked"][0], rows["run"][0]
    counts = dict(rows.group_by("change").len().iter_rows())
    kinds = listing([f"{KINDS[kind]} in {counts[kind]:,}" for kind in KINDS if kind in counts])
    which = f"the top {k:,} (5 % of {n_ranked:,})"
    if rows.height < k:
        which = f"the first {rows.height:,} of {which}"
    return f"{run}: {which}; {kinds}."


FIGURE = Figure(
    name="activations",
    view="figure_activations",
    order=("run", "rank"),
    title="Mean activation of the highest-ranked neurons, before and after",
    description="mean activation of the highest-ranked neurons, before against after",
    lacking="no finished locate run has ranked neurons with mean activations: run `snql locate` to get one",
    sketch=_sketch,
)
