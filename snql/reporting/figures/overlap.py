"""How far the rankings of different runs agree."""

from dataclasses import dataclass, replace

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.kit import marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, decimal, listing, short_labels

MAX_RUNS = 12
TOOLTIP = marks.tooltip(
    ("run_a", "run"),
    ("run_b", "with"),
    ("overlap", "overlap at 5 %", ".3f"),
    ("n_common", "common neurons", ","),
    ("chance", "overlap by chance", ".3f"),
    ("null", "shuffled adapters"),
    ("jaccard", "Jaccard", ".3f"),
    ("spearman_all", "Spearman, all neurons", ".3f"),
    ("spearman_common", "Spearman, common only", ".3f"),
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """Three heatmaps of the same pairs: overlap, Spearman over all neurons, Spearman over the common ones."""
    runs = comparable(frame, context.several)
    shown = frame.filter(pl.col("run_a").is_in(runs) & pl.col("run_b").is_in(runs))
    return _chart(shown, runs, look), _words(shown, runs, context)


def comparable(frame: pl.DataFrame, several: bool = False) -> list[str]:
    """The largest group of runs of one shape, the first by name among equals; at most ``MAX_RUNS`` of it.

    Runs of ``several`` databases are not paired with each other; all groups with as many ranked neurons are shown.
    """
    pairs = [frame.select(run=run, other=other) for run, other in (("run_a", "run_b"), ("run_b", "run_a"))]
    partners = pl.concat(pairs).group_by("run").agg(pl.col("other"))
    groups = [sorted([run, *others]) for run, others in partners.iter_rows()]
    best = min(groups, key=lambda group: (-len(group), group))
    if several:
        sizes = {size for run, size in frame.select("run_a", "n_ranked").iter_rows() if run in best}
        of_size = frame.filter(pl.col("n_ranked").is_in(sizes))
        best = sorted({*of_size["run_a"], *of_size["run_b"]})[:MAX_RUNS]
        best.sort(key=lambda run: (run.rpartition(" [")[2], run))  # blocks of one database each
    return best[:MAX_RUNS]


def _chart(shown: pl.DataFrame, runs: list[str], look: Look) -> Chart:
    labels = short_labels(runs, min(22, int(0.23 * look.width / (0.53 * look.size()))))
    mirrored = pl.concat([shown, shown.rename({"run_a": "run_b", "run_b": "run_a"}).select(shown.columns)])
    cells = mirrored.with_columns(
        a=pl.col("run_a").replace_strict(labels, return_dtype=pl.String),
        b=pl.col("run_b").replace_strict(labels, return_dtype=pl.String),
        null=_band(),
    ).sort("run_a", "run_b")
    first = shown.row(0, named=True)
    order = [labels[run] for run in runs]
    share: dict[float, str] = dict(zip((0, 1), look.theme.ramp, strict=True))
    correlation: dict[float, str] = dict(zip((-1, 0, 1), look.theme.diverging, strict=True))
    overlap = f"overlap at 5 % (k = {first['k']:,})"
    # Room for the labels and a legible number in each cell.
    columns = look.columns(3, narrowest=max(120, 55 + 13 * len(runs)))
    measures = [
        Panel("overlap", (overlap, f"by chance {decimal(first['chance'], 3)}"), share),
        Panel("spearman_all", ("Spearman,", "all ranked neurons"), correlation),
        Panel("spearman_common", ("Spearman,", "common neurons only"), correlation),
    ]
    if cells["n_draws"].max():
        measures[0] = replace(measures[0], below="null")
    drawn = [
        _heatmap(cells, order, replace(panel, labelled=i % columns == 0), look, columns)
        for i, panel in enumerate(measures)
    ]
    joined: Chart = alt.concat(*drawn, columns=columns, spacing=look.height(14)).resolve_scale(color="independent")
    return joined


@dataclass(frozen=True)
class Panel:
    """One heatmap: the column it shows, its title, the colours of its scale by value, whether rows are labelled."""

    field: str
    title: tuple[str, ...]
    ends: dict[float, str]
    labelled: bool = False
    below: str = ""
    """The column whose words stand below the number in a cell; none when empty."""


def _band() -> pl.Expr:
    """What shuffled adapters share, from to, as a cell has room for it."""
    ends = [pl.col(name).round(2).cast(pl.String).str.strip_prefix("0") for name in ("null_low", "null_high")]
    return pl.when(pl.col("n_draws") > 0).then(
        pl.concat_str(pl.lit("("), ends[0], pl.lit("\u2013"), ends[1], pl.lit(")"))
    )


def _heatmap(cells: pl.DataFrame, order: list[str], panel: Panel, look: Look, columns: int) -> Chart:
    side = look.panel_width(columns)
    high = min(side, look.height(24) * len(order))
    y_axis = plain(title=None, labels=panel.labelled, ticks=False, domain=False, labelLimit=look.width * 0.25)
    x_axis = plain(title=None, labelAngle=-45, ticks=False, domain=False, labelLimit=look.height(90))
    base = alt.Chart(charts.data(cells)).encode(
        x=alt.X("b:N", sort=order, scale=plain(domain=order), axis=x_axis),
        y=alt.Y("a:N", sort=order, scale=plain(domain=order), axis=y_axis),
    )
    colour = series.ramp(panel.field, panel.ends, side, look, values=list(panel.ends))
    rect = base.mark_rect(stroke=look.theme.paper, strokeWidth=look.stroke(0.7))
    rect = rect.encode(color=colour, tooltip=TOOLTIP)
    numbers = _numbers(base, panel, min(side / len(order), high / len(order) * 1.6), look)
    heading = panels.heading(panel.title, look, fontWeight="normal", offset=4)
    view = alt.ViewConfig(fill=look.theme.empty, strokeWidth=0)
    return panels.panel([rect, *numbers], look, high, columns, title=heading, view=view)


def _numbers(base: alt.Chart, panel: Panel, cell: float, look: Look) -> list[alt.Chart]:
    """The number of each cell, on dark in the colour for it; `none` where there is no number. Words may stand below."""
    field = panel.field
    shown = f"isValid(datum.{field}) ? format(datum.{field}, '.2f') : 'none'"
    size = min(look.size(1.1), cell / 2.5)
    up = size * 0.35 if panel.below else 0
    numbers = base.mark_text(fontSize=size, dy=-up).transform_calculate(shown=shown)
    drawn = [numbers.encode(text="shown:N", color=marks.on_shade(field, look))]
    if panel.below:
        words = base.mark_text(fontSize=min(0.65 * size, cell / 6), dy=2.2 * up)
        drawn.append(words.encode(text=f"{panel.below}:N", color=marks.on_shade(field, look)))
    return drawn


def _words(shown: pl.DataFrame, runs: list[str], context: Context) -> list[str]:
    first = shown.row(0, named=True)
    others = rows.runs(context.runs.filter((pl.col("kind") == "locate") & ~pl.col("run").is_in(runs)))
    return [
        f"Overlap is the share of the top {first['k']:,} neurons (5 % of {first['n_ranked']:,}) that two runs have "
        f"in common; two random rankings share {decimal(first['chance'], 3)} on average, more when both favour the "
        "same layers. The correlation over the common neurons says nothing of how many there are: read it with "
        "the other two.",
        _undefined(shown),
        _nulls(shown),
        "Empty: runs of different databases are not paired." if context.several else "",
        locate_words(context, runs),
        f"Left out, because they rank neurons of other models or layers, or runs are too many: {listing(others)}."
        if others
        else "",
    ]


def _nulls(shown: pl.DataFrame) -> str:
    """What the brackets say, and which pairs share no more than contentless adapters do."""
    beside = shown.filter(pl.col("n_draws") > 0).sort("run_a", "run_b")
    if beside.is_empty():
        return ""
    alike = beside.filter(pl.col("overlap") <= pl.col("null_high"))
    pairs = [f"{a} and {b}" for a, b in alike.select("run_a", "run_b").iter_rows()]
    words = (
        "In brackets: from the smallest to the largest overlap of shuffled, contentless adapters with the other run."
    )
    if not pairs:
        return words
    return f"{words} No larger than the largest of these, and so no finding: {listing(pairs)}."


def _undefined(shown: pl.DataFrame) -> str:
    missing = shown.filter(pl.col("spearman_common").is_null()).height
    if not missing:
        return ""
    pairs = count(missing, "pair")
    return f"For {pairs} it is undefined (fewer than three common neurons, or equal scores)."


FIGURE = Figure(
    name="overlap",
    view="figure_overlap",
    order=("run_a", "run_b"),
    title="Agreement between rankings",
    description="overlap of the top 5 % and rank correlations for all pairs of locate runs",
    lacking=(
        "fewer than two finished locate runs rank neurons of models of the same shape: "
        "run `snql locate` once more to compare two"
    ),
    sketch=_sketch,
)
