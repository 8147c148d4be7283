"""How far rankings from two halves of the prompts agree."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, locate_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import DASHES, SHAPES, Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, decimal

MAX_PANELS = 9
SMALLEST = 0.005
"""Where the axis begins: the smallest share of the view."""
OVERLAP, CHANCE = "halves (mean and range of splits)", "random sets of the same size"
TOOLTIP = marks.tooltip(
    "run",
    ("label", "sets"),
    ("k", "neurons in the set", ","),
    ("value", "overlap", ".3f"),
    ("low", "lowest", ".3f"),
    ("high", "highest", ".3f"),
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each of the first runs by name: overlap against the size of the top set."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    words = [
        "The prompts of a run are split into two halves, each half ranks the neurons by itself, and the overlap is the "
        f"share of the top neurons that both have. Line: mean of {shown['split'].n_unique()} fixed splits; band: their "
        "lowest and highest. Splits of the same prompts depend on each other, so the band is a spread over splits, no "
        "confidence interval. Dashed: what two random sets share on average. A half has half the prompts, so the "
        "ranking of all prompts is more stable: its reliability is 2 rho / (1 + rho), with Spearman's rho of the "
        "halves.",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    return _chart(_marked(shown, runs, look), look, look.columns(len(runs))), words


def _marked(shown: pl.DataFrame, runs: list[str], look: Look) -> pl.DataFrame:
    """A row for each run and size: mean and range over the splits; and one for what chance gives."""
    labels = rows.run_labels(runs, look, look.columns(len(runs)))
    headed = rows.by_run(shown, labels, lambda row: f"(n = {count(row['n_prompts'], 'prompt')})")
    overlap = pl.col("overlap")
    sizes = headed.group_by("run", "k", "n_ranked", "chance", "panel")
    halves = sizes.agg(pl.lit(OVERLAP).alias("label"), value=overlap.mean(), low=overlap.min(), high=overlap.max())
    random = halves.with_columns(label=pl.lit(CHANCE), value="chance", low=pl.lit(None), high=pl.lit(None))
    return pl.concat([halves, random]).with_columns(share="chance").sort("run", "label", "k")


def _chart(marked: pl.DataFrame, look: Look, columns: int) -> Chart:
    ends = [min(SMALLEST, *marked["share"]), max(SMALLEST, *marked["share"])]
    across = axes.in_lines("size of the top set (% of ranked neurons)", look, columns)
    ticks = plain(format="~%", values=[0.001, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5], labelOverlap="greedy")
    scale = plain(type="log", nice=False, domain=ends)
    drawn = {
        OVERLAP: Mark(look.theme.colours[0], SHAPES[0], DASHES[0]),
        CHANCE: Mark(look.theme.control, SHAPES[3], DASHES[1]),
    }
    found = series.channels(drawn, look, dashes=True)
    y = axes.y(title="overlap", scale=plain(domain=[0, 1]), axis=plain(format="%", tickCount=5))
    base = alt.Chart().encode(x=alt.X("share:Q", title=across, scale=scale, axis=ticks), color=found.color)
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.25)
    layers = [
        band.encode(**axes.y().span("low", "high")),
        marks.line(base, y, "value", look).encode(strokeDash=found.dash),
        marks.points(base, y, "value", look, 18, shape=found.shape, tooltip=TOOLTIP),
    ]
    return panels.facets(layers, marked, look, columns, look.height(120))


def _run_words(of_run: pl.DataFrame) -> str:
    run, n_ranked, sizes = of_run["run"][0], of_run["n_ranked"][0], of_run["k"].unique().sort()
    splits = of_run.unique("split")
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


FIGURE = Figure(
    name="stability",
    view="figure_stability",
    order=("run", "split", "k"),
    title="Agreement between rankings from two halves of the prompts",
    description="overlap of the top sets from two halves of the prompts, by their size, beside chance",
    lacking="no finished locate run has sums per prompt: run `snql locate … --bootstrap 1000` to get some",
    sketch=_sketch,
)
