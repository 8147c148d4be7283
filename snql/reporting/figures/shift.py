"""How much the neurons of each layer change, and in which direction."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import FORMAT, first_runs, rest_words, run_labels
from snql.writing.words import count, listing

NAME = "shift"
VIEW = "figure_shift"
ORDER = ("run", "layer")
DESCRIPTION = "mean shift (after - before) and change scores of each layer's neurons, over depth"
LACKING = "no finished locate run has scores: run `snql locate` to get some"
TITLE = "Shift and change scores of the neurons of each layer"
MAX_RUNS = 6
MEAN, MEDIAN, HIGH = "mean shift", "median score", "95 % quantile of the scores"


@dataclass(frozen=True)
class Measure:
    """One panel of a run: lines by label, and bands between two columns, the widest first."""

    title: str
    axis: str
    lines: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...] = ()


SHIFT = Measure(
    "shift",
    "after \u2212 before",
    (("shift_mean", MEAN),),
    (("shift_p05", "shift_p95"), ("shift_p25", "shift_p75")),
)
SCORES = Measure("scores", "change score", (("score_p50", MEDIAN), ("score_p95", HIGH)))
LABELS = (MEAN, MEDIAN, HIGH)


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """Two panels for each of the first runs by name: shifts, and scores, over normalised depth."""
    shown, runs, n_rest = first_runs(frame, MAX_RUNS)
    return Drawing(_chart(shown, runs, look), TITLE, _caption(shown, runs, n_rest, context))


def _chart(shown: pl.DataFrame, runs: list[str], look: Look) -> Chart:
    columns = 2 * max(1, look.columns(2 * len(runs), most=4) // 2)
    names = run_labels(runs, look, columns)
    panels = [
        _panel(shown.filter(pl.col("run") == run).sort("layer"), names[run], measure, look, columns)
        for run in runs
        for measure in (SHIFT, SCORES)
    ]
    joined = alt.concat(*panels, columns=columns, spacing=look.height(10))
    shared = joined.resolve_scale(color="shared", shape="shared", strokeDash="shared")
    return charts.finish(shared, look, TITLE)


def _panel(rows: pl.DataFrame, name: str, measure: Measure, look: Look, columns: int) -> Chart:
    x_axis = alt.Axis(tickCount=5, labelOverlap="greedy", format=FORMAT)
    x = alt.X(
        "depth:Q",
        title="depth (0 to 1)",
        scale=alt.Scale(domain=[0, 1]),
        axis=x_axis,
    )
    given = charts.data(rows.select("layer", "depth", "n_neurons", "ranked", *_columns(measure)))
    base = alt.Chart(given).encode(x=x)
    bands = [
        base.mark_area(color=look.theme.colours[0], opacity=0.16).encode(y=_y(low, measure, rows), y2=high)
        for low, high in measure.bands
    ]
    zero = alt.Chart().mark_rule(color=look.theme.line, strokeWidth=look.stroke(0.6)).encode(y=alt.datum(0))
    lines = [mark for field, label in measure.lines for mark in _line(base, label, _y(field, measure, rows), look)]
    layered = alt.layer(*_skipped(rows, look), *bands, zero, *lines)
    heading = alt.Title([name, measure.title], fontSize=look.size(1.05), offset=look.height(3), frame="group")
    size = {"width": look.panel_width(columns), "height": look.height(95)}
    drawn: Chart = layered.properties(title=heading, **size)
    return drawn


def _columns(measure: Measure) -> list[str]:
    return [*(field for field, _ in measure.lines), *(end for band in measure.bands for end in band)]


def _y(field: str, measure: Measure, rows: pl.DataFrame) -> alt.Y:
    """A scale that ends a little beyond the values, so that no label stands at the height of the heading."""
    values = [value for column in _columns(measure) for value in rows[column].drop_nulls()]
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = 0.08 * ((high - low) or 1.0)
    scale = alt.Scale(domain=[low - margin if low < 0 else 0.0, high + margin], nice=False)
    return alt.Y(f"{field}:Q", scale=scale, axis=alt.Axis(title=measure.axis, tickCount=5, format=FORMAT))


def _line(base: alt.Chart, label: str, y: alt.Y, look: Look) -> list[alt.Chart]:
    """One line with its points, those of layers that are not ranked hollow."""
    labels, place = list(LABELS), LABELS.index(label)
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(labels, look))
    colour = alt.Color("label:N", scale=alt.Scale(domain=labels, range=list(look.theme.colours[:3])), legend=legend)
    shape = alt.Shape("label:N", scale=alt.Scale(domain=labels, range=list(charts.SHAPES[:3])), legend=legend)
    labelled = base.transform_calculate(label=f"'{label}'")
    tooltip = [*_TOOLTIP, alt.Tooltip(y.shorthand, title=label, format=".4~g")]
    line = labelled.mark_line(strokeWidth=look.stroke(1.2), strokeDash=charts.DASHES[place])
    points = [
        labelled.transform_filter(chosen)
        .mark_point(opacity=1, size=look.area(16), strokeWidth=look.stroke(0.8), **filling)
        .encode(y=y, color=colour, shape=shape, tooltip=tooltip)
        for chosen, filling in (("datum.ranked", {"filled": True}), ("!datum.ranked", {"fill": look.theme.paper}))
    ]
    return [line.encode(y=y, color=colour), *points]


def _skipped(rows: pl.DataFrame, look: Look) -> list[alt.Chart]:
    """Bands behind the layers that are not ranked, half a layer to each side."""
    half = 0.5 / max(1, rows["n_layers"][0] - 1)
    skipped = rows.filter(~pl.col("ranked")).select(
        start=(pl.col("depth") - half).clip(0, 1), end=(pl.col("depth") + half).clip(0, 1)
    )
    if skipped.is_empty():
        return []
    band: alt.Chart = alt.Chart(charts.data(skipped)).mark_rect(color=look.theme.empty)
    return [band.encode(x=alt.X("start:Q"), x2="end:Q")]


_TOOLTIP = [alt.Tooltip("layer:Q"), alt.Tooltip("n_neurons:Q", title="neurons", format=",")]


def _caption(shown: pl.DataFrame, runs: list[str], n_rest: int, context: Context) -> str:
    parts = [
        "Shift: mean over tokens of after \u2212 before. Line: its mean over the layer's neurons; bands: the middle "
        "50 % and 90 % of the neurons, a spread over neurons, no confidence interval. Increases and decreases cancel "
        "out in the mean shift, not in the change scores, of which the median and the 95 % quantile over the layer's "
        "neurons are drawn.",
        "Depth is 0 at the model's first layer and 1 at its last.",
        _skipped_words(shown),
        f"Neurons in a layer: {_sizes(shown)}.",
        "No shifts are known of imported scores." if shown["shift_mean"].null_count() else "",
        locate_words(context, runs),
        rest_words(len(runs), n_rest),
    ]
    return " ".join(part for part in parts if part)


def _skipped_words(shown: pl.DataFrame) -> str:
    n_skipped = shown.filter(~pl.col("ranked")).group_by("run").len("n").sort("run")
    if n_skipped.is_empty():
        return ""
    runs = [f"{count(n, 'layer')} ({run})" for run, n in n_skipped.iter_rows()]
    return f"Grey with hollow points: layers with scores that the run did not rank: {listing(runs)}."


def _sizes(shown: pl.DataFrame) -> str:
    return listing([f"{size:,}" for size in shown["n_neurons"].unique().sort().to_list()])
