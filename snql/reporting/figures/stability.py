"""How far rankings from two halves of the prompts agree."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import first_runs, lines_of, rest_words, run_labels
from snql.writing.words import count, decimal

NAME = "stability"
VIEW = "figure_stability"
ORDER = ("run", "split", "k")
DESCRIPTION = "overlap of the top sets from two halves of the prompts, by their size, beside chance"
LACKING = "no finished locate run has sums per prompt: run `snql locate` with --bootstrap 1000 to get some"
TITLE = "Agreement between rankings from two halves of the prompts"
MAX_PANELS = 9
SMALLEST = 0.005
"""Where the axis begins: the smallest share of the view."""
OVERLAP, CHANCE = "halves (mean and range of splits)", "random sets of the same size"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each of the first runs by name: overlap against the size of the top set."""
    shown, runs, n_rest = first_runs(frame, MAX_PANELS)
    columns = look.columns(len(runs))
    panels = _panels(shown, runs, look, columns)
    marked = _marks(shown).with_columns(panel=pl.col("run").replace_strict(panels, return_dtype=pl.String))
    return Drawing(_chart(marked, list(panels.values()), look, columns), TITLE, _caption(shown, runs, n_rest, context))


def _panels(shown: pl.DataFrame, runs: list[str], look: Look, columns: int) -> dict[str, str]:
    sizes = shown.group_by("run").agg(pl.col("n_prompts").first()).sort("run")
    labels = run_labels(runs, look, columns)
    return {run: f"{labels[run]}\n(n = {count(n, 'prompt')})" for run, n in sizes.iter_rows()}


def _marks(shown: pl.DataFrame) -> pl.DataFrame:
    """A row for each run and size: mean and range over the splits; and one for what chance gives."""
    overlap = pl.col("overlap")
    sizes = shown.group_by("run", "k", "n_ranked", "chance")
    halves = sizes.agg(pl.lit(OVERLAP).alias("label"), value=overlap.mean(), low=overlap.min(), high=overlap.max())
    random = halves.with_columns(label=pl.lit(CHANCE), value="chance", low=pl.lit(None), high=pl.lit(None))
    return pl.concat([halves, random]).with_columns(share="chance").sort("run", "label", "k")


def _chart(marked: pl.DataFrame, panels: list[str], look: Look, columns: int) -> Chart:
    ends = [min(SMALLEST, *marked["share"]), max(SMALLEST, *marked["share"])]
    x_scale = alt.Scale(type="log", nice=False, domain=ends)
    labels = [OVERLAP, CHANCE]
    across = lines_of("size of the top set (% of ranked neurons)", look, columns)
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(labels, look))
    colours = alt.Scale(domain=labels, range=[look.theme.colours[0], look.theme.control])
    dashes = alt.Scale(domain=labels, range=[charts.DASHES[0], charts.DASHES[1]])
    shapes = alt.Scale(domain=labels, range=[charts.SHAPES[0], charts.SHAPES[3]])
    y = alt.Y("value:Q", title="overlap", scale=alt.Scale(domain=[0, 1]), axis=_Y_AXIS)
    base = alt.Chart().encode(
        x=alt.X("share:Q", title=across, scale=x_scale, axis=_X_AXIS),
        color=alt.Color("label:N", scale=colours, legend=legend),
    )
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.25).encode(y=alt.Y("low:Q"), y2="high:Q")
    lines = base.mark_line(strokeWidth=look.stroke(1.2)).encode(
        y=y, strokeDash=alt.StrokeDash("label:N", scale=dashes, legend=legend)
    )
    points = base.mark_point(filled=True, opacity=1, size=look.area(18)).encode(
        y=y, shape=alt.Shape("label:N", scale=shapes, legend=legend), tooltip=_TOOLTIP
    )
    layered = alt.layer(band, lines, points, data=charts.data(marked))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(120))
    facet = layered.facet(facet=charts.facet(panels), columns=columns)
    return charts.finish(facet.resolve_axis(x="independent"), look, TITLE)


_X_AXIS = alt.Axis(format="~%", values=[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], labelOverlap="greedy")
_Y_AXIS = alt.Axis(format="%", tickCount=5)
_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("label:N", title="sets"),
    alt.Tooltip("k:Q", title="neurons in the set", format=","),
    alt.Tooltip("value:Q", title="overlap", format=".3f"),
    alt.Tooltip("low:Q", title="lowest", format=".3f"),
    alt.Tooltip("high:Q", title="highest", format=".3f"),
]


def _caption(shown: pl.DataFrame, runs: list[str], n_rest: int, context: Context) -> str:
    n_splits = shown["split"].n_unique()
    parts = [
        "The prompts of a run are split into two halves, each half ranks the neurons by itself, and the overlap is the "
        f"share of the top neurons that both have. Line: mean of {n_splits} fixed splits; band: their lowest and "
        "highest. Splits of the same prompts depend on each other, so the band is a spread over splits, no confidence "
        "interval. Dashed: what two random sets share on average. A half has half the prompts, so the ranking of all "
        "prompts is more stable: its reliability is 2 rho / (1 + rho), with Spearman's rho of the halves.",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        rest_words(len(runs), n_rest),
    ]
    return " ".join(part for part in parts if part)


def _run_words(rows: pl.DataFrame) -> str:
    run, n_ranked, sizes = rows["run"][0], rows["n_ranked"][0], rows["k"].unique().sort()
    splits = rows.unique("split")
    return (
        f"{run}: rho {_spread(splits['spearman'])}, reliability {_spread(splits['reliability'])}; "
        f"top {sizes[0]:,} to {sizes[-1]:,} of {n_ranked:,} neurons."
    )


def _spread(values: pl.Series) -> str:
    """Mean and range of what is defined."""
    known = [float(value) for value in values.drop_nulls()]
    if not known:
        return "undefined"
    return f"{decimal(sum(known) / len(known), 3)} ({decimal(min(known), 3)} to {decimal(max(known), 3)})"
