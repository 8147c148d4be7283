"""How sure the change scores of the highest-ranked neurons are."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import FORMAT, first_runs, neuron_names, rest_words, run_labels
from snql.writing.words import count, listing

NAME = "intervals"
VIEW = "figure_intervals"
ORDER = ("run", "rank")
DESCRIPTION = "change scores of the highest-ranked neurons with bootstrap intervals over prompts"
LACKING = "no finished locate run has bootstrap intervals: run `snql locate` with --bootstrap 1000 to get some"
TITLE = "Bootstrap intervals of the highest change scores"
MAX_PANELS = 6
MAX_ROWS = 60
SURE, UNSURE = "in the top 5 % in at least 95 % of resamples", "in fewer"
AXIS = "change score (dashed: lowest of the top 5 %)"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each of the first runs by name, one line for each neuron; fewer neurons where runs are many."""
    shown, runs, n_rest = first_runs(frame, MAX_PANELS)
    most = max(10, min(30, MAX_ROWS // len(runs)))
    rows = shown.filter(pl.col("rank") <= most).with_columns(
        name=neuron_names(), label=pl.when(pl.col("top_share") >= 0.95).then(pl.lit(SURE)).otherwise(pl.lit(UNSURE))
    )
    return Drawing(_chart(rows, runs, look), TITLE, _caption(rows, runs, most, n_rest, context))


def _chart(rows: pl.DataFrame, runs: list[str], look: Look) -> Chart:
    columns = look.columns(len(runs), narrowest=150, most=2)
    labels = run_labels(runs, look, columns)
    panels = [_panel(rows.filter(pl.col("run") == run).sort("rank"), labels[run], look, columns) for run in runs]
    joined = alt.concat(*panels, columns=columns, spacing=look.height(14))
    shared = joined.resolve_scale(color="shared", shape="shared")
    return charts.finish(shared, look, TITLE)


def _panel(rows: pl.DataFrame, label: str, look: Look, columns: int) -> Chart:
    ends = (min(rows["threshold"][0], *rows["ci_low"]), max(rows["ci_high"]))
    lines = rows.select("name", "rank", "score", "ci_low", "ci_high", "top_share", "label")
    base = alt.Chart(charts.data(lines)).encode(
        y=alt.Y("name:N", sort=rows["name"].to_list(), title=None, axis=alt.Axis(ticks=False, grid=True))
    )
    x = alt.X("score:Q", title=AXIS, scale=_scale(*ends), axis=_X_AXIS)
    kinds = [SURE, UNSURE]
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(kinds, look))
    rule = alt.Chart(charts.data(rows.head(1).select(score="threshold")))
    rule = rule.mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.9), strokeDash=charts.DASHES[1])
    points = base.mark_point(filled=True, opacity=1, size=look.area(20)).encode(
        x=x,
        color=alt.Color("label:N", scale=alt.Scale(domain=kinds, range=list(look.theme.colours[:2])), legend=legend),
        shape=alt.Shape("label:N", scale=alt.Scale(domain=kinds, range=list(charts.SHAPES[:2])), legend=legend),
        tooltip=_TOOLTIP,
    )
    shares = base.mark_text(align="left", dx=look.height(3), fontSize=look.size(0.85), color=look.theme.muted)
    layered = alt.layer(
        rule.encode(x=x),
        base.mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.9)).encode(x=alt.X("ci_low:Q"), x2="ci_high:Q"),
        points,
        shares.encode(x=alt.X("ci_high:Q"), text=alt.Text("top_share:Q", format=".0%")),
    )
    heading = alt.Title(label, fontSize=look.size(1.1), offset=look.height(4), anchor="middle", frame="group")
    size = {"width": look.panel_width(columns), "height": look.height(9.5) * rows.height}
    drawn: Chart = layered.properties(title=heading, **size)
    return drawn


def _scale(low: float, high: float) -> alt.Scale:
    """All scores, with room for the shares on the right; logarithmic where they span a factor of ten."""
    if low > 0 and high / low > 10:
        return alt.Scale(type="log", nice=False, domain=[low / 1.05, high * (high / low) ** 0.16])
    margin = (high - low) or high or 1.0
    return alt.Scale(zero=False, nice=False, domain=[max(0.0, low - 0.04 * margin), high + 0.2 * margin])


_X_AXIS = alt.Axis(format=FORMAT, tickCount=5, labelOverlap="greedy")
_TOOLTIP = [
    alt.Tooltip("name:N", title="neuron"),
    alt.Tooltip("rank:Q", format=","),
    alt.Tooltip("score:Q", format=".4~g"),
    alt.Tooltip("ci_low:Q", title="from", format=".4~g"),
    alt.Tooltip("ci_high:Q", title="to", format=".4~g"),
    alt.Tooltip("top_share:Q", title="resamples in the top 5 %", format=".1%"),
]


def _caption(rows: pl.DataFrame, runs: list[str], most: int, n_rest: int, context: Context) -> str:
    parts = [
        f"The {most} highest-ranked neurons of each run. Bars are 95 % bootstrap intervals over prompts"
        f"{_resamples(rows)}; the number beside a bar, and its mark, say in what share of the resamples the neuron "
        f"stays in the top 5 % ({_sizes(rows)}). Neurons were chosen for high scores on these very prompts, so their "
        "scores on others tend to be lower.",
        locate_words(context, runs),
        rest_words(len(runs), n_rest),
    ]
    return " ".join(part for part in parts if part)


def _resamples(rows: pl.DataFrame) -> str:
    numbers = [f"{number:,}" for number in rows["resamples"].drop_nulls().unique().sort().to_list()]
    return f" ({listing(numbers)} resamples)" if numbers else ""


def _sizes(rows: pl.DataFrame) -> str:
    sizes = rows.select("threshold_rank", "n_ranked", "n_prompts").unique().sort("threshold_rank", "n_ranked").rows()
    return listing([f"{k:,} of {n:,} neurons, {count(prompts, 'prompt')}" for k, n, prompts in sizes])
