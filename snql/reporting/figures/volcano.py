"""Effect size against change score."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import FORMAT, first_runs, neuron_names, rest_words, run_labels
from snql.writing.words import count, decimal

NAME = "volcano"
VIEW = "figure_volcano"
ORDER = ("run", "kind", "bin", "rank")
DESCRIPTION = "effect size of the signed shift against change score, all ranked neurons"
LACKING = "no finished locate run has ranked neurons with standard deviations: run `snql locate` to get one"
TITLE = "Effect size of the shift against change score"
MAX_PANELS = 6
HIGHEST = "the highest-ranked neurons"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each of the first runs by name: counts of all neurons in bins, the highest ones as points."""
    shown, runs, n_rest = first_runs(frame, MAX_PANELS)
    columns = look.columns(len(runs))
    panels = _panels(shown, runs, look, columns)
    marked = shown.with_columns(
        panel=pl.col("run").replace_strict(panels, return_dtype=pl.String),
        name=neuron_names(),
        label=pl.when(pl.col("kind") == "neuron").then(pl.lit(HIGHEST)),
    )
    return Drawing(_chart(marked, list(panels.values()), look, columns), TITLE, _caption(shown, runs, n_rest, context))


def _panels(shown: pl.DataFrame, runs: list[str], look: Look, columns: int) -> dict[str, str]:
    sizes = shown.group_by("run").agg(pl.col("n_ranked").first()).sort("run")
    labels = run_labels(runs, look, columns)
    return {run: f"{labels[run]}\n(n = {n:,})" for run, n in sizes.iter_rows()}


def _chart(marked: pl.DataFrame, panels: list[str], look: Look, columns: int) -> Chart:
    rows = marked.select("panel", "kind", "run", "name", "rank", "label", "n_neurons", *_ENDS)
    x = alt.X("effect_low:Q", title="effect size d", scale=alt.Scale(nice=False), axis=_X_AXIS)
    y = alt.Y("score_low:Q", title="change score (log scale)", scale=_LOG, axis=_Y_AXIS)
    layered = alt.layer(
        _bins(x, y, marked, look),
        alt.Chart().mark_rule(color=look.theme.line, strokeWidth=look.stroke(0.6)).encode(x=alt.datum(0)),
        _points(x, y, look),
        data=charts.data(rows),
    )
    layered = layered.properties(width=look.panel_width(columns), height=look.height(130))
    facet = layered.facet(facet=charts.facet(panels), columns=columns)
    facet = facet.resolve_scale(x="independent", y="independent")
    return charts.finish(facet, look, TITLE)


def _bins(x: alt.X, y: alt.Y, marked: pl.DataFrame, look: Look) -> alt.Chart:
    most = max(2, *marked.filter(pl.col("kind") == "bin")["n_neurons"])
    legend = alt.Legend(
        title="neurons in a bin (log scale)",
        orient="bottom",
        direction="horizontal",
        gradientLength=look.width * 0.3,
        gradientThickness=look.height(5),
        values=_counts(most),
        format=",",
    )
    # Even a bin of one neuron differs from the paper.
    scale = alt.Scale(type="log", domain=[0.4, most], range=list(look.theme.ramp), interpolate="rgb")
    bins: alt.Chart = alt.Chart().transform_filter("datum.kind == 'bin'").mark_rect(strokeWidth=0)
    return bins.encode(
        x=x, x2="effect_high:Q", y=y, y2="score_high:Q", color=alt.Color("n_neurons:Q", scale=scale, legend=legend),
        tooltip=_BIN_TOOLTIP,
    )  # fmt: skip


def _counts(most: int) -> list[int]:
    """Ticks of the legend: powers of ten that occur."""
    return [10**power for power in range(7) if 10**power <= most]


def _points(x: alt.X, y: alt.Y, look: Look) -> alt.Chart:
    legend = alt.Legend(title=None, orient="bottom")
    points: alt.Chart = alt.Chart().transform_filter("datum.kind == 'neuron'")
    points = points.mark_point(
        size=look.area(13), strokeWidth=look.stroke(0.8), opacity=1, color=look.theme.colours[1], filled=False
    )
    shape = alt.Shape("label:N", scale=alt.Scale(domain=[HIGHEST], range=["triangle-up"]), legend=legend)
    return points.encode(x=x, y=y, shape=shape, tooltip=_TOOLTIP)


_ENDS = ("effect_low", "effect_high", "score_low", "score_high")
_LOG = alt.Scale(type="log", nice=False)
_X_AXIS = alt.Axis(tickCount=4, format=FORMAT, labelOverlap="greedy")
_Y_AXIS = alt.Axis(tickCount=4, format=FORMAT, labelOverlap="greedy")
_BIN_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("effect_low:Q", title="effect size from", format=".3~g"),
    alt.Tooltip("effect_high:Q", title="to", format=".3~g"),
    alt.Tooltip("score_low:Q", title="score from", format=".3~g"),
    alt.Tooltip("score_high:Q", title="to", format=".3~g"),
]
_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("name:N", title="neuron"),
    alt.Tooltip("rank:Q", format=","),
    alt.Tooltip("effect_low:Q", title="effect size", format=".3f"),
    alt.Tooltip("score_low:Q", title="change score", format=".4~g"),
]


def _caption(shown: pl.DataFrame, runs: list[str], n_rest: int, context: Context) -> str:
    n_points = max(shown.filter(pl.col("kind") == "neuron").group_by("run").len("n")["n"], default=0)
    parts = [
        "Effect size is Cohen's d of the signed shift, (mean after \u2212 mean before) / "
        "sqrt((std before^2 + std after^2) / 2), with standard deviations over tokens: it does not grow with their "
        "number and is no test. Right of 0 the mean increases, left it decreases. Shades count all ranked neurons in "
        f"bins; triangles are the {n_points} highest-ranked ones. Scales differ between panels.",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        rest_words(len(runs), n_rest),
    ]
    return " ".join(part for part in parts if part)


def _run_words(rows: pl.DataFrame) -> str:
    """What is not where it should be, and how far the highest-ranked ones shift."""
    first = rows.row(0, named=True)
    effects = rows.filter(pl.col("kind") == "neuron")["effect_low"].abs()
    words = []
    if effects.len():
        words.append(f"median |d| of the triangles {decimal(float(effects.median() or 0.0))}")  # type: ignore[arg-type]
    if first["n_beyond"]:
        words.append(f"{count(first['n_beyond'], 'neuron')} beyond the axis counted in the outermost bins")
    if first["n_undefined"]:
        words.append(f"{count(first['n_undefined'], 'neuron')} without an effect size or with score 0 left out")
    return f"{first['run']}: {'; '.join(words)}." if words else ""
