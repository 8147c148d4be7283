"""How far the rankings of different runs agree."""

from dataclasses import dataclass

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.model import Chart, Drawing
from snql.reporting.text import count, decimal, listing, short_labels

NAME = "overlap"
VIEW = "figure_overlap"
DESCRIPTION = "overlap of the top 5 % and rank correlations for all pairs of locate runs"
LACKING = (
    "fewer than two finished locate runs rank neurons of models of the same shape: "
    "run `snql locate` once more to compare two"
)
TITLE = "Agreement between rankings"
MAX_RUNS = 12


def draw(frame: pl.DataFrame, context: Context) -> Drawing:
    """Three heatmaps of the same pairs: overlap, Spearman over all neurons, Spearman over the common ones."""
    runs = comparable(frame)
    shown = frame.filter(pl.col("run_a").is_in(runs) & pl.col("run_b").is_in(runs))
    return Drawing(_chart(shown, runs), TITLE, _caption(shown, runs, context))


def comparable(frame: pl.DataFrame) -> list[str]:
    """The largest group of runs of one shape, the first by name among equals; at most ``MAX_RUNS`` of it."""
    pairs = [frame.select(run=run, other=other) for run, other in (("run_a", "run_b"), ("run_b", "run_a"))]
    partners = pl.concat(pairs).group_by("run").agg(pl.col("other"))
    groups = [sorted([run, *others]) for run, others in partners.iter_rows()]
    return min(groups, key=lambda group: (-len(group), group))[:MAX_RUNS]


def _chart(shown: pl.DataFrame, runs: list[str]) -> Chart:
    labels = short_labels(runs, 22)
    mirrored = pl.concat([shown, shown.rename({"run_a": "run_b", "run_b": "run_a"}).select(shown.columns)])
    cells = mirrored.with_columns(
        a=pl.col("run_a").replace_strict(labels, return_dtype=pl.String),
        b=pl.col("run_b").replace_strict(labels, return_dtype=pl.String),
    ).sort("run_a", "run_b")
    first = shown.row(0, named=True)
    order = [labels[run] for run in runs]
    side = max(100, min(190, 46 * len(runs)))
    overlap = f"overlap at 5 % (k = {first['k']:,})"
    panels = (
        Panel("overlap", (overlap, f"by chance {decimal(first['chance'], 3)}"), _SHARE, labelled=True),
        Panel("spearman_all", ("Spearman,", "all ranked neurons"), _CORRELATION),
        Panel("spearman_common", ("Spearman,", "common neurons only"), _CORRELATION),
    )
    drawn = [_heatmap(cells, order, side, panel) for panel in panels]
    joined = alt.hconcat(*drawn, spacing=22).resolve_scale(color="independent")
    return charts.finish(joined, TITLE)


_SHARE = {0: "#ffffff", 1: "#08519c"}
_CORRELATION = {-1: "#b35806", 0: "#ffffff", 1: "#08519c"}


@dataclass(frozen=True)
class Panel:
    """One heatmap: the column it shows, its title and the colours of its scale by value."""

    field: str
    title: tuple[str, ...]
    ends: dict[int, str]
    labelled: bool = False


def _heatmap(cells: pl.DataFrame, order: list[str], side: int, panel: Panel) -> Chart:
    y_axis = alt.Axis(title=None, labels=panel.labelled, ticks=False, domain=False, labelLimit=160)
    base = alt.Chart(charts.data(cells)).encode(
        x=alt.X("b:N", sort=order, scale=alt.Scale(domain=order), axis=_X_AXIS),
        y=alt.Y("a:N", sort=order, scale=alt.Scale(domain=order), axis=y_axis),
    )
    rect = base.mark_rect(stroke="white", strokeWidth=1).encode(color=_colour(panel, side), tooltip=_TOOLTIP)
    layered = alt.layer(rect, _numbers(base, panel.field, len(order)))
    heading = alt.Title(list(panel.title), fontSize=11, fontWeight="normal", offset=6, frame="group")
    view = alt.ViewConfig(fill="#ececec", strokeWidth=0)
    sized: Chart = layered.properties(width=side, height=side, title=heading, view=view)
    return sized


def _colour(panel: Panel, side: int) -> alt.Color:
    values = list(panel.ends)
    legend = alt.Legend(title=None, orient="bottom", gradientLength=side, gradientThickness=8, values=values)
    scale = alt.Scale(domain=values, range=list(panel.ends.values()), interpolate="rgb")
    return alt.Color(f"{panel.field}:Q", scale=scale, legend=legend)


def _numbers(base: alt.Chart, field: str, n_runs: int) -> alt.Chart:
    """The number of each cell, white on dark; `none` where there is no number."""
    color = alt.condition(f"abs(datum.{field}) > 0.68", alt.value("white"), alt.value(charts.INK))
    size = 11 if n_runs <= 4 else 8.5 if n_runs <= 7 else 6.5
    shown = f"isValid(datum.{field}) ? format(datum.{field}, '.2f') : 'none'"
    numbers: alt.Chart = base.mark_text(fontSize=size).transform_calculate(shown=shown)
    return numbers.encode(text="shown:N", color=color)


_X_AXIS = alt.Axis(title=None, labelAngle=-45, ticks=False, domain=False, labelLimit=120)
_TOOLTIP = [
    alt.Tooltip("run_a:N", title="run"),
    alt.Tooltip("run_b:N", title="with"),
    alt.Tooltip("overlap:Q", title="overlap at 5 %", format=".3f"),
    alt.Tooltip("n_common:Q", title="common neurons", format=","),
    alt.Tooltip("chance:Q", title="overlap by chance", format=".3f"),
    alt.Tooltip("jaccard:Q", title="Jaccard", format=".3f"),
    alt.Tooltip("spearman_all:Q", title="Spearman, all neurons", format=".3f"),
    alt.Tooltip("spearman_common:Q", title="Spearman, common only", format=".3f"),
]


def _caption(shown: pl.DataFrame, runs: list[str], context: Context) -> str:
    first = shown.row(0, named=True)
    parts = [
        f"Overlap is the share of the top {first['k']:,} neurons (5 % of {first['n_ranked']:,}) that two runs have "
        f"in common; two random rankings share {decimal(first['chance'], 3)} on average, more when both favour the "
        "same layers. The correlation over the common neurons says nothing of how many there are: read it with "
        "the other two.",
        _undefined(shown),
        locate_words(context, runs),
    ]
    others = context.runs.filter((pl.col("kind") == "locate") & ~pl.col("run").is_in(runs))["run"].sort().to_list()
    if others:
        parts.append(f"Left out, because the models have another shape or the runs are too many: {listing(others)}.")
    return " ".join(part for part in parts if part)


def _undefined(shown: pl.DataFrame) -> str:
    missing = shown.filter(pl.col("spearman_common").is_null()).height
    if not missing:
        return ""
    pairs = count(missing, "pair")
    return f"For {pairs} it is undefined (fewer than three common neurons, or equal scores)."
