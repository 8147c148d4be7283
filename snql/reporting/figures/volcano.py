"""Effect size against change score."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, locate_words
from snql.reporting.kit import captions, marks, panels, rows, series
from snql.reporting.kit.axes import FORMAT
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, decimal

MAX_PANELS = 6
HIGHEST = "the highest-ranked neurons"
ENDS = ("effect_low", "effect_high", "score_low", "score_high")
TOOLTIP_BIN = marks.tooltip(
    "run",
    "n_neurons",
    ("effect_low", "effect size from", ".3~g"),
    ("effect_high", "to", ".3~g"),
    ("score_low", "score from", ".3~g"),
    ("score_high", "to", ".3~g"),
)
TOOLTIP = marks.tooltip(
    "run", "name", "rank", ("effect_low", "effect size", ".3f"), ("score_low", "change score", ".4~g")
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each of the first runs by name: counts of all neurons in bins, the highest ones as points."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    columns = look.columns(len(runs))
    labels = rows.run_labels(runs, look, columns)
    marked = rows.by_run(shown, labels, lambda row: f"(n = {row['n_ranked']:,})").with_columns(
        name=rows.neuron_names(), label=pl.when(pl.col("kind") == "neuron").then(pl.lit(HIGHEST))
    )
    n_points = max(shown.filter(pl.col("kind") == "neuron").group_by("run").len("n")["n"], default=0)
    words = [
        "Effect size is Cohen's d of the signed shift, (mean after \u2212 mean before) / "
        "sqrt((std before^2 + std after^2) / 2), with standard deviations over tokens: it does not grow with their "
        "number and is no test. Right of 0 the mean increases, left it decreases. Shades count all ranked neurons in "
        f"bins; triangles are the {n_points} highest-ranked ones. Scales differ between panels.",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    return _chart(marked, look, columns), words


def _chart(marked: pl.DataFrame, look: Look, columns: int) -> Chart:
    ticks = plain(tickCount=4, format=FORMAT, labelOverlap="greedy")
    x = alt.X("effect_low:Q", title="effect size d", scale=plain(nice=False), axis=ticks)
    log = plain(type="log", nice=False)
    y = alt.Y("score_low:Q", title="change score (log scale)", scale=log, axis=ticks)
    bins = alt.Chart().transform_filter("datum.kind == 'bin'").mark_rect(strokeWidth=0)
    points = (
        alt.Chart()
        .transform_filter("datum.kind == 'neuron'")
        .mark_point(
            size=look.area(13), strokeWidth=look.stroke(0.8), opacity=1, color=look.theme.colours[1], filled=False
        )
    )
    triangle = plain(domain=[HIGHEST], range=["triangle-up"])
    shape = alt.Shape("label:N", scale=triangle, legend=plain(title=None, orient="bottom"))
    layers = [
        bins.encode(x=x, x2="effect_high:Q", y=y, y2="score_high:Q", color=_shade(marked, look), tooltip=TOOLTIP_BIN),
        marks.zero(look, x=alt.datum(0)),
        points.encode(x=x, y=y, shape=shape, tooltip=TOOLTIP),
    ]
    data = marked.select("panel", "kind", "run", "name", "rank", "label", "n_neurons", *ENDS)
    return panels.facets(layers, data, look, columns, look.height(130), own="scales")


def _shade(marked: pl.DataFrame, look: Look) -> alt.Color:
    """The number of neurons in a bin; even a bin of one neuron differs from the paper."""
    most = max(2, *marked.filter(pl.col("kind") == "bin")["n_neurons"])
    legend = {
        "title": "neurons in a bin (log scale)",
        "direction": "horizontal",
        "values": [10**power for power in range(7) if 10**power <= most],
        "format": ",",
    }
    ends = dict(zip((0.4, most), look.theme.ramp, strict=True))
    return series.ramp("n_neurons", ends, look.width * 0.3, look, log=True, **legend)


def _run_words(of_run: pl.DataFrame) -> str:
    """What is not where it should be, and how far the highest-ranked ones shift."""
    first = of_run.row(0, named=True)
    effects = of_run.filter(pl.col("kind") == "neuron")["effect_low"].abs()
    words = []
    if effects.len():
        words.append(f"median |d| of the triangles {decimal(float(effects.median() or 0.0))}")  # type: ignore[arg-type]
    if first["n_beyond"]:
        words.append(f"{count(first['n_beyond'], 'neuron')} beyond the axis counted in the outermost bins")
    if first["n_undefined"]:
        words.append(f"{count(first['n_undefined'], 'neuron')} without an effect size or with score 0 left out")
    return f"{first['run']}: {'; '.join(words)}." if words else ""


FIGURE = Figure(
    name="volcano",
    view="figure_volcano",
    order=("run", "kind", "bin", "rank"),
    title="Effect size of the shift against change score",
    description="effect size of the signed shift against change score, all ranked neurons",
    lacking="no finished locate run has ranked neurons with standard deviations: run `snql locate` to get one",
    sketch=_sketch,
)
