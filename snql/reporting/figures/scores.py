"""How the change scores of the ranked neurons are distributed."""

from collections.abc import Mapping
from typing import Any

import altair as alt
import polars as pl

from snql.reporting.context import Context, locate_words
from snql.reporting.kit import captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, decimal, short_labels

MAX_PANELS = 12
THRESHOLD, KNEE = "lowest score of the top 5 %", "knee of the ranking"
TOOLTIP = marks.tooltip(
    "run", ("bin_low", "from", ".4~g"), ("bin_high", "to", ".4~g"), "n_neurons", ("share", "", ".2%")
)
TOOLTIP_RULE = marks.tooltip("run", ("label", "mark"), ("bin_low", "score", ".4~g"), ("at_rank", "rank", ","))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One histogram on a logarithmic axis for each run."""
    first, runs, n_rest = rows.first_runs(frame, MAX_PANELS)
    shown = first.sort("run", "bin")
    words = [
        "Bins are equally wide in the logarithm of the score.",
        *(_run_words(row) for row in shown.unique("run").sort("run").iter_rows(named=True)),
        "The knee is the point of the score-against-rank curve farthest below the straight line between its ends, "
        "both axes scaled to 0..1; skewness is the bias-corrected one of the scores.",
        locate_words(context, runs),
        captions.left_out(n_rest, "run"),
    ]
    return _chart(shown, runs, look), words


def _chart(shown: pl.DataFrame, runs: list[str], look: Look) -> Chart:
    marked = rows.by_run(shown, short_labels(runs, 20), _heading)
    every = pl.concat([marked.with_columns(kind=pl.lit("bin"), **_widened()), _rules(marked)], how="diagonal")
    bins = alt.Chart().transform_filter("datum.kind == 'bin'")
    bins = bins.mark_rect(fill=look.theme.fill, stroke=look.theme.ink, strokeWidth=look.stroke(0.3))
    x_axis = plain(format="~g", tickCount=5, labelOverlap="greedy")
    rules = alt.Chart().transform_filter("datum.kind == 'rule'").mark_rule(strokeWidth=look.stroke(1.3))
    drawn = {THRESHOLD: Mark(look.theme.colours[1], dash=[1, 0]), KNEE: Mark(look.theme.ink, dash=[5, 3])}
    symbol = look.area(110)
    found = series.channels(drawn, look, dashes=True, symbolType="stroke", symbolSize=symbol, columns=alt.Undefined)
    layers = [
        bins.encode(
            x=alt.X("bin_low:Q", title="change score (log scale)", scale=plain(type="log", nice=False), axis=x_axis),
            x2="bin_high:Q",
            y=alt.Y("share:Q", title="share of ranked neurons", axis=plain(format="%", tickCount=5)),
            y2=alt.datum(0),
            tooltip=TOOLTIP,
        ),
        rules.encode(x="bin_low:Q", color=found.color, strokeDash=found.dash, tooltip=TOOLTIP_RULE),
    ]
    return panels.facets(layers, every, look, panels.in_a_row(len(runs), look), look.height(110))


def _heading(row: Mapping[str, Any]) -> str:
    return f"(n = {row['n_ranked']:,})\nskewness {decimal(row['skewness'])}"


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
        runs.select(
            "run", "panel", bin_low=score, at_rank=pl.col(rank).cast(pl.Int64), label=pl.lit(label), kind=pl.lit("rule")
        )
        for label, score, rank in ((THRESHOLD, "threshold", "threshold_rank"), (KNEE, "knee_score", "knee_rank"))
    ]
    return pl.concat(parts).filter(pl.col("bin_low") > 0)


def _run_words(row: Mapping[str, Any]) -> str:
    def shown(name: str) -> str:
        return "undefined" if row[name] is None else f"{row[name]:.4g}"

    rank, size = row["knee_rank"], row["n_ranked"]
    knee = "no knee (all scores are equal)"
    if rank is not None:
        knee = f"knee at rank {rank:,} ({100 * rank / size:.1f} %, score {shown('knee_score')})"
    words = f"{row['run']}: top 5 % from score {shown('threshold')}, {knee}, skewness {decimal(row['skewness'])}"
    if row["n_draws"] and row["null_skewness_low"] is not None:
        words += (
            f" (of {count(row['n_draws'], 'shuffled adapter')}: skewness {decimal(row['null_skewness_low'])} to "
            f"{decimal(row['null_skewness_high'])}, knee at {100 * row['null_knee_low']:.1f} to "
            f"{100 * row['null_knee_high']:.1f} %)"
        )
    if row["n_zero"]:
        words += f"; {count(row['n_zero'], 'neuron')} with score 0 cannot be shown on this axis"
    return f"{words}."


FIGURE = Figure(
    name="scores",
    view="figure_scores",
    order=("run", "bin"),
    title="Distribution of change scores",
    description="distribution of the change scores, with the threshold of the top 5 % and the knee (paper figure 5a)",
    lacking=(
        "no finished locate run has a change score above 0 (other scorers' and imported scores are none): run "
        "`snql locate` on two models that differ"
    ),
    sketch=_sketch,
)
