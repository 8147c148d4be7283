"""How sure the change scores of the highest-ranked neurons are."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import Plain, plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

MAX_PANELS = 6
MAX_ROWS = 60
SURE, UNSURE = "in the top 5 % in at least 95 % of resamples", "in fewer"
TITLE = "change score (dashed: lowest of the top 5 %)"
TOOLTIP = marks.tooltip(
    "name",
    "rank",
    "score",
    ("ci_low", "from", ".4~g"),
    ("ci_high", "to", ".4~g"),
    ("top_share", "resamples in the top 5 %", ".1%"),
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each of the first runs by name, one line for each neuron; fewer neurons where runs are many."""
    first, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    most = max(10, min(30, MAX_ROWS // len(runs)))
    sure = pl.when(pl.col("top_share") >= 0.95).then(pl.lit(SURE)).otherwise(pl.lit(UNSURE))
    shown = first.filter(pl.col("rank") <= most).with_columns(name=rows.neuron_names(), label=sure)
    words = [
        f"The {most} highest-ranked neurons of each run. Bars are 95 % intervals over prompts; "
        f"the number beside a bar, and its mark, say in what share of resamples{_resamples(shown)} the neuron "
        f"stays in the top 5 % ({_sizes(shown)}). Neurons were chosen for high scores on these very prompts, so their "
        "scores on others tend to be lower.",
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    columns = look.columns(len(runs), narrowest=150, most=2)
    labels = rows.run_labels(runs, look, columns)
    drawn = [_panel(shown.filter(pl.col("run") == run).sort("rank"), labels[run], look, columns) for run in runs]
    joined = alt.concat(*drawn, columns=columns, spacing=look.height(14))
    return joined.resolve_scale(color="shared", shape="shared"), words


def _panel(shown: pl.DataFrame, label: str, look: Look, columns: int) -> Chart:
    scale = _scale(min(shown["threshold"][0], *shown["ci_low"]), max(shown["ci_high"]))
    x_axis = plain(format=axes.FORMAT, tickCount=5, labelOverlap="greedy")
    x, bare = axes.x(title=TITLE, scale=scale, axis=x_axis), axes.x()
    lines = shown.select("name", "rank", "score", "ci_low", "ci_high", "top_share", "label")
    y = alt.Y("name:N", sort=shown["name"].to_list(), title=None, axis=plain(ticks=False, grid=True))
    base = alt.Chart(charts.data(lines)).encode(y=y)
    threshold = alt.Chart(charts.data(shown.head(1).select(score="threshold")))
    threshold = threshold.mark_rule(
        color=look.theme.ink, strokeWidth=look.stroke(0.9), strokeDash=series.DASHES[1]
    ).encode(**x.at("score"))
    shares = base.mark_text(align="left", dx=look.height(3), fontSize=look.size(0.85), color=look.theme.muted)
    found = series.channels(series.marks([SURE, UNSURE], look), look)
    layers = [
        threshold,
        marks.bars(base, bare, marks.INTERVAL, look, 0.9, color=look.theme.ink),
        marks.points(base, x, "score", look, 20, tooltip=TOOLTIP, **found.marks),
        shares.encode(**bare.at("ci_high"), text=alt.Text("top_share:Q", format=".0%")),
    ]
    title = panels.heading(label, look, anchor="middle")
    return panels.panel(layers, look, look.height(9.5) * shown.height, columns, title=title)


def _scale(low: float, high: float) -> Plain:
    """All scores, with room for the shares on the right; logarithmic where they span a factor of ten."""
    if low > 0 and high / low > 10:
        return plain(type="log", nice=False, domain=[low / 1.05, high * (high / low) ** 0.16])
    margin = (high - low) or high or 1.0
    return plain(zero=False, nice=False, domain=[max(0.0, low - 0.04 * margin), high + 0.2 * margin])


def _resamples(shown: pl.DataFrame) -> str:
    numbers = [f"{number:,}" for number in shown["resamples"].drop_nulls().unique().sort().to_list()]
    return f" ({listing(numbers)})" if numbers else ""


def _sizes(shown: pl.DataFrame) -> str:
    sizes = shown.select("threshold_rank", "n_ranked", "n_prompts").unique().sort("threshold_rank", "n_ranked").rows()
    return listing([f"{k:,} of {n:,} neurons, {count(prompts, 'prompt')}" for k, n, prompts in sizes])


FIGURE = Figure(
    name="intervals",
    view="figure_intervals",
    order=("run", "rank"),
    title="Intervals of the highest change scores",
    description="change scores of the highest-ranked neurons with intervals over prompts",
    lacking="no finished locate run has intervals: run `snql locate … --bootstrap 1000` to get some",
    sketch=_sketch,
)
