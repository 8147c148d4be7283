"""How the change scores of the ranked neurons are distributed."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, decimal, short_labels

NAME = "scores"
VIEW = "figure_scores"
ORDER = ("run", "bin")
DESCRIPTION = "distribution of the change scores, with the threshold of the top 5 % and the knee (paper figure 5a)"
LACKING = "no finished locate run has a change score above 0: run `snql locate` on two models that differ"
TITLE = "Distribution of change scores"
MAX_PANELS = 12
THRESHOLD, KNEE = "lowest score of the top 5 %", "knee of the ranking"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One histogram on a logarithmic axis for each run."""
    runs = frame["run"].unique().sort().to_list()
    shown = frame.filter(pl.col("run").is_in(runs[:MAX_PANELS])).sort("run", "bin")
    panels = _panels(shown)
    marked = shown.with_columns(panel=pl.col("run").replace_strict(panels, return_dtype=pl.String))
    return Drawing(_chart(marked, list(panels.values()), look), TITLE, _caption(shown, runs, context))


def _panels(shown: pl.DataFrame) -> dict[str, str]:
    sizes = shown.group_by("run").agg(pl.col("n_ranked").first(), pl.col("skewness").first()).sort("run")
    labels = short_labels(sizes["run"], 20)
    return {
        run: f"{labels[run]}\n(n = {size:,})\nskewness {decimal(skewness)}" for run, size, skewness in sizes.iter_rows()
    }


def _chart(marked: pl.DataFrame, panels: list[str], look: Look) -> Chart:
    rules = _rules(marked)
    bars = marked.with_columns(kind=pl.lit("bin"), **_widened())
    rows = pl.concat([bars, rules], how="diagonal")
    columns = look.columns(len(panels), most=3 if len(panels) > 4 else 2)
    x_axis = alt.Axis(format="~g", tickCount=5, labelOverlap="greedy")
    x = alt.X("bin_low:Q", title="change score (log scale)", scale=alt.Scale(type="log", nice=False), axis=x_axis)
    histogram = (
        alt.Chart()
        .transform_filter("datum.kind == 'bin'")
        .mark_rect(fill=look.theme.fill, stroke=look.theme.ink, strokeWidth=look.stroke(0.3))
        .encode(
            x=x,
            x2="bin_high:Q",
            y=alt.Y("share:Q", title="share of ranked neurons", axis=alt.Axis(format="%", tickCount=5)),
            y2=alt.datum(0),
            tooltip=_TOOLTIP,
        )
    )
    layered = alt.layer(histogram, _marker(look), data=charts.data(rows))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(110))
    facet = layered.facet(facet=charts.facet(panels), columns=columns)
    return charts.finish(facet.resolve_axis(x="independent"), look, TITLE)


def _marker(look: Look) -> alt.Chart:
    """The vertical rules: threshold and knee."""
    legend = alt.Legend(title=None, orient="bottom", symbolType="stroke", symbolSize=look.area(110))
    colours = alt.Scale(domain=[THRESHOLD, KNEE], range=[look.theme.colours[1], look.theme.ink])
    dashes = alt.Scale(domain=[THRESHOLD, KNEE], range=[[1, 0], [5, 3]])
    rules: alt.Chart = alt.Chart().transform_filter("datum.kind == 'rule'").mark_rule(strokeWidth=look.stroke(1.3))
    return rules.encode(
        x="bin_low:Q",
        color=alt.Color("label:N", scale=colours, legend=legend),
        strokeDash=alt.StrokeDash("label:N", scale=dashes, legend=legend),
        tooltip=_RULE_TOOLTIP,
    )


def _widened() -> dict[str, pl.Expr]:
    """Bins of no width, where all scores are equal, get one so that their bar can be seen."""
    flat = pl.col("bin_high") <= pl.col("bin_low")
    return {
        "bin_low": pl.when(flat).then(pl.col("bin_low") / 1.05).otherwise("bin_low"),
        "bin_high": pl.when(flat).then(pl.col("bin_high") * 1.05).otherwise("bin_high"),
    }


def _rules(marked: pl.DataFrame) -> pl.DataFrame:
    runs = marked.unique("run").sort("run")
    parts = [
        runs.select("run", "panel", bin_low=score, at_rank=rank, label=pl.lit(label), kind=pl.lit("rule"))
        for label, score, rank in (
            (THRESHOLD, pl.col("threshold"), pl.col("threshold_rank").cast(pl.Int64)),
            (KNEE, pl.col("knee_score"), pl.col("knee_rank").cast(pl.Int64)),
        )
    ]
    return pl.concat(parts).filter(pl.col("bin_low") > 0)


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("bin_low:Q", title="from", format=".4~g"),
    alt.Tooltip("bin_high:Q", title="to", format=".4~g"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("share:Q", format=".2%"),
]


_RULE_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("label:N", title="mark"),
    alt.Tooltip("bin_low:Q", title="score", format=".4~g"),
    alt.Tooltip("at_rank:Q", title="rank", format=","),
]


def _caption(shown: pl.DataFrame, runs: list[str], context: Context) -> str:
    rows = shown.unique("run").sort("run")
    parts = [
        "Bins are equally wide in the logarithm of the score.",
        *(_run_words(row) for row in rows.iter_rows(named=True)),
        "The knee is the point of the score-against-rank curve farthest below the straight line between its ends, "
        "both axes scaled to 0..1; skewness is the bias-corrected one of the scores.",
        locate_words(context, rows["run"].to_list()),
    ]
    if len(runs) > rows.height:
        parts.append(f"{count(len(runs) - rows.height, 'more run')} not drawn (see the CSV file).")
    return " ".join(parts)


def _run_words(row: dict[str, object]) -> str:
    def shown(name: str) -> str:
        value = row[name]
        return f"{value:.4g}" if isinstance(value, float) else "undefined"

    rank, size, skewness, zero = row["knee_rank"], row["n_ranked"], row["skewness"], row["n_zero"]
    knee = "no knee (all scores are equal)"
    if isinstance(rank, int) and isinstance(size, int):
        knee = f"knee at rank {rank:,} ({100 * rank / size:.1f} %, score {shown('knee_score')})"
    words = f"{row['run']}: top 5 % from score {shown('threshold')}, {knee}"
    words += f", skewness {decimal(skewness if isinstance(skewness, float) else None)}"
    if isinstance(zero, int) and zero:
        words += f"; {count(zero, 'neuron')} with score 0 cannot be shown on this axis"
    return f"{words}."
