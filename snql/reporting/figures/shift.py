"""How much the neurons of each layer change, and in which direction."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

MAX_RUNS = 6
MEAN, MEDIAN, HIGH = "mean shift", "median score", "95 % quantile of the scores"
LABELS = (MEAN, MEDIAN, HIGH)


@dataclass(frozen=True)
class Measure:
    """One panel of a run: lines by label, and bands between two columns, the widest first."""

    title: str
    axis: str
    lines: tuple[tuple[str, str], ...]
    bands: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> list[str]:
        """All that the panel draws."""
        return [*(field for field, _ in self.lines), *(end for band in self.bands for end in band)]


MEASURES = (
    Measure(
        "shift",
        "after \u2212 before",
        (("shift_mean", MEAN),),
        (("shift_p05", "shift_p95"), ("shift_p25", "shift_p75")),
    ),
    Measure("scores", "change score", (("score_p50", MEDIAN), ("score_p95", HIGH))),
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """Two panels for each of the first runs by name: shifts, and scores, over normalised depth."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_RUNS)
    words = [
        "Shift: mean over tokens of after \u2212 before. Line: its mean over the layer's neurons; bands: the middle "
        "50 % and 90 % of the neurons, a spread over neurons, no confidence interval. Increases and decreases cancel "
        "out in the mean shift, not in the change scores, of which the median and the 95 % quantile over the layer's "
        "neurons are drawn.",
        "Depth is 0 at the model's first layer and 1 at its last.",
        _skipped_words(shown),
        f"Neurons in a layer: {listing([f'{size:,}' for size in shown['n_neurons'].unique().sort().to_list()])}.",
        "No shifts are known of imported scores." if shown["shift_mean"].null_count() else "",
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    columns = 2 * max(1, look.columns(2 * len(runs), most=4) // 2)
    drawn = [
        _panel(shown.filter(pl.col("run") == run).sort("layer"), name, measure, look, columns)
        for run, name in rows.run_labels(runs, look, columns).items()
        for measure in MEASURES
    ]
    joined = alt.concat(*drawn, columns=columns, spacing=look.height(10))
    return joined.resolve_scale(color="shared", shape="shared", strokeDash="shared"), words


def _panel(of_run: pl.DataFrame, name: str, measure: Measure, look: Look, columns: int) -> Chart:
    x_axis = plain(tickCount=5, labelOverlap="greedy", format=axes.FORMAT)
    x = alt.X("depth:Q", title="depth (0 to 1)", scale=plain(domain=[0, 1]), axis=x_axis)
    y = _y(measure, of_run)
    data = charts.data(of_run.select("layer", "depth", "n_neurons", "ranked", *measure.columns))
    base = alt.Chart(data).encode(x=x)
    bands = base.mark_area(color=look.theme.colours[0], opacity=0.16)
    layers = [
        *_skipped(of_run, look),
        *(bands.encode(**y.span(*ends)) for ends in measure.bands),
        marks.zero(look, y=alt.datum(0)),
        *(mark for field, label in measure.lines for mark in _line(base, label, field, y, look)),
    ]
    title = panels.heading([name, measure.title], look, fontSize=look.size(1.05), offset=look.height(3))
    return panels.panel(layers, look, look.height(95), columns, title=title)


def _y(measure: Measure, of_run: pl.DataFrame) -> axes.Axis:
    """A scale that ends a little beyond the values, so that no label stands at the height of the heading."""
    values = [value for column in measure.columns for value in of_run[column].drop_nulls()]
    low, high = min([0.0, *values]), max([0.0, *values])
    margin = 0.08 * ((high - low) or 1.0)
    scale = plain(domain=[low - margin if low < 0 else 0.0, high + margin], nice=False)
    return axes.y(scale=scale, axis=plain(title=measure.axis, tickCount=5, format=axes.FORMAT))


def _line(base: alt.Chart, label: str, field: str, y: axes.Axis, look: Look) -> list[alt.Chart]:
    """One line with its points, those of layers that are not ranked hollow."""
    drawn = series.marks(LABELS, look)
    found = series.channels(drawn, look)
    labelled = base.transform_calculate(label=f"'{label}'")
    tooltip = marks.tooltip("layer", "n_neurons", (field, label, ".4~g"))
    line = marks.line(labelled, y, field, look, strokeDash=drawn[label].dash)
    points = [
        labelled.transform_filter(chosen)
        .mark_point(opacity=1, size=look.area(16), strokeWidth=look.stroke(0.8), **filling)
        .encode(**y.at(field), **found.marks, tooltip=tooltip)
        for chosen, filling in (("datum.ranked", {"filled": True}), ("!datum.ranked", {"fill": look.theme.paper}))
    ]
    return [line.encode(color=found.color), *points]


def _skipped(of_run: pl.DataFrame, look: Look) -> list[alt.Chart]:
    """Bands behind the layers that are not ranked, half a layer to each side."""
    half = 0.5 / max(1, of_run["n_layers"][0] - 1)
    skipped = of_run.filter(~pl.col("ranked")).select(
        start=(pl.col("depth") - half).clip(0, 1), end=(pl.col("depth") + half).clip(0, 1)
    )
    if skipped.is_empty():
        return []
    band: alt.Chart = alt.Chart(charts.data(skipped)).mark_rect(color=look.theme.empty)
    return [band.encode(**axes.x().span("start", "end"))]


def _skipped_words(shown: pl.DataFrame) -> str:
    n_skipped = shown.filter(~pl.col("ranked")).group_by("run").len("n").sort("run")
    if n_skipped.is_empty():
        return ""
    runs = [f"{count(n, 'layer')} ({run})" for run, n in n_skipped.iter_rows()]
    return f"Grey with hollow points: layers with scores that the run did not rank: {listing(runs)}."


FIGURE = Figure(
    name="shift",
    view="figure_shift",
    order=("run", "layer"),
    title="Shift and change scores of the neurons of each layer",
    description="mean shift (after - before) and change scores of each layer's neurons, over depth",
    lacking=(
        "no finished locate run has change scores (other scorers' and imported scores are none): run `snql locate` to "
        "get some"
    ),
    sketch=_sketch,
)
