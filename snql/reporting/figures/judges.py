"""How far two judges agree about the same completions."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl

from snql.judges.agreement import FEWEST, statistics
from snql.reporting import charts
from snql.reporting.context import Context, locate_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.inert import visible
from snql.writing.words import count, decimal, short_labels, shorten

MAX_PANELS = 6
MAX_POINTS = 600
SEED = 0
ROLES = ("recipient", "patched", "donor", "before", "after", "writer", "given")
LOCATED = ("before", "after", "writer", "given")
TOOLTIP = marks.tooltip(
    "run",
    "role",
    ("variant", "variant"),
    ("prompt_id", "prompt"),
    ("judge_a", "first judge"),
    ("score_a", "its score", ".3f"),
    ("judge_b", "second judge"),
    ("score_b", "its score", ".3f"),
)


@dataclass(frozen=True)
class Pair:
    """Two judges of one run: their rows, and the rows of statistics of all of these by name."""

    run: str
    judges: tuple[str, str]
    rows: pl.DataFrame
    found: dict[str, dict[str, float | None]]


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run and pair of judges, one point for each completion."""
    pairs = _pairs(frame)
    shown = pairs[:MAX_PANELS]
    columns = look.columns(len(shown), narrowest=120)
    roles = [role for role in ROLES if any(role in pair.rows["role"] for pair in shown)]
    drawn = [_panel(pair, roles, look, columns) for pair in shown]
    return alt.concat(*drawn, columns=columns, spacing=look.height(14)), _words(shown, len(pairs), context)


def _pairs(frame: pl.DataFrame) -> list[Pair]:
    """Every run and pair with enough completions for a correlation, in order."""
    found = []
    for (run, a, b), rows in frame.group_by(["run", "judge_a", "judge_b"], maintain_order=True):
        if rows.height >= FEWEST:
            table = statistics(rows, SEED)
            by_name = {str(row["statistic"]): row for row in table.iter_rows(named=True)}
            found.append(Pair(str(run), (str(a), str(b)), rows, by_name))
    return found


def _panel(pair: Pair, roles: list[str], look: Look, columns: int) -> Chart:
    side = min(look.panel_width(columns), look.height(240))
    found = series.channels(series.marks(roles, look), look, "role")
    titles = [axes.in_lines(f"score by {shorten(visible(judge), 40)}", look, columns) for judge in pair.judges]
    shared = {
        "scale": plain(zero=False, nice=True, padding=look.height(5)),
        "axis": plain(tickCount=5, format=axes.FORMAT, labelOverlap="greedy"),
    }
    points = alt.Chart(charts.data(thinned(pair.rows).sort("role"))).mark_point(
        size=look.area(15), strokeWidth=look.stroke(0.8), opacity=0.7, clip=False
    )
    nothing = alt.Chart(alt.InlineData(values=[{}]))
    layers = [
        # Both zeros: where each judge's verdict turns.
        marks.zero(look, nothing, x=alt.datum(0)),
        marks.zero(look, nothing, y=alt.datum(0)),
        points.encode(
            **axes.x(title=titles[0], **shared).at("score_a"),
            **axes.y(title=titles[1], **shared).at("score_b"),
            **found.marks,
            tooltip=TOOLTIP,
        ),
    ]
    r = f"r = {_value(pair.found['Pearson'])} (n = {pair.rows.height:,})"
    title = panels.heading([short_labels([pair.run], 26)[pair.run], r], look)
    sized: Chart = alt.layer(*layers).properties(width=side, height=side, title=title)
    return sized


def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """The completions of as many prompts, the first by id, as may be drawn."""
    if rows.height <= MAX_POINTS:
        return rows
    prompts = rows.group_by("prompt_id").len().sort("prompt_id")
    kept = prompts.filter(pl.col("len").cum_sum() <= MAX_POINTS)["prompt_id"]
    return rows.filter(pl.col("prompt_id").is_in(kept.to_list()))


def _value(row: dict[str, float | None]) -> str:
    if row["value"] is None:
        return "undefined"
    if row["ci_low"] is None:
        return decimal(row["value"])
    return f"{decimal(row['value'])} [{decimal(row['ci_low'])}, {decimal(row['ci_high'])}]"


def _words(shown: Sequence[Pair], n_pairs: int, context: Context) -> list[str]:
    many = any(pair.rows.height > MAX_POINTS for pair in shown)
    return [
        "One point for each completion that both judges scored. r: Pearson's coefficient, with its 95 % bootstrap "
        f"interval over prompts (2,000 resamples, seed {SEED}). Thin lines: 0, where verdicts turn.",
        *(_pair_words(pair) for pair in shown),
        patch_words(context, list(dict.fromkeys(pair.run for pair in shown))),
        locate_words(context, [pair.run for pair in shown if pair.rows["role"].is_in(LOCATED).any()]),
        f"At most {MAX_POINTS} points a panel are drawn, those of the first prompts; r is of all." if many else "",
        captions.left_out(n_pairs - len(shown), "pair"),
    ]


def _pair_words(pair: Pair) -> str:
    a, b = (shorten(visible(judge), 60) for judge in pair.judges)
    prompts = pair.rows["prompt_id"].n_unique()
    return (
        f"{pair.run}, {a} and {b} ({count(prompts, 'prompt')}): Spearman {_value(pair.found['Spearman'])}, kappa of "
        f"the verdicts {_value(pair.found['kappa'])}."
    )


FIGURE = Figure(
    name="judges",
    view="figure_judge_agreement",
    order=("run", "judge_a", "judge_b", "variant_id", "prompt_id"),
    title="Scores of the same completions by two judges",
    description="scores of the same completions by two judges, with their correlation (paper figure 10a)",
    lacking="no finished run was scored by two judges: run `snql judge RUN --judge …` to add one",
    sketch=_sketch,
)
