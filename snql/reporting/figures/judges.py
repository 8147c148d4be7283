"""How far two judges agree about the same completions."""

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt
import polars as pl

from snql.judges.agreement import FEWEST, statistics
from snql.reporting import charts
from snql.reporting.context import Context, locate_words, patch_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.panels import FORMAT, lines_of
from snql.writing.inert import visible
from snql.writing.words import count, decimal, short_labels, shorten

NAME = "judges"
VIEW = "figure_judge_agreement"
ORDER = ("run", "judge_a", "judge_b", "variant_id", "prompt_id")
DESCRIPTION = "scores of the same completions by two judges, with their correlation (paper figure 10a)"
LACKING = "no finished run was scored by two judges: run `snql judge RUN --judge …` to add one"
TITLE = "Scores of the same completions by two judges"
MAX_PANELS = 6
MAX_POINTS = 600
SEED = 0
ROLES = ("recipient", "patched", "donor", "before", "after")
_KEY = ["run", "judge_a", "judge_b"]


@dataclass(frozen=True)
class Pair:
    """Two judges of one run: their rows, and the rows of statistics of all of these by name."""

    run: str
    judges: tuple[str, str]
    rows: pl.DataFrame
    found: dict[str, dict[str, float | None]]


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run and pair of judges, one point for each completion."""
    pairs = _pairs(frame)
    shown = pairs[:MAX_PANELS]
    columns = look.columns(len(shown), narrowest=120)
    roles = [role for role in ROLES if any(role in pair.rows["role"] for pair in shown)]
    panels = [_panel(pair, roles, look, columns) for pair in shown]
    joined = alt.concat(*panels, columns=columns, spacing=look.height(14))
    return Drawing(charts.finish(joined, look, TITLE), TITLE, _caption(shown, len(pairs) - len(shown), context))


def _pairs(frame: pl.DataFrame) -> list[Pair]:
    """Every run and pair with enough completions for a correlation, in order."""
    found = []
    for (run, a, b), rows in frame.group_by(_KEY, maintain_order=True):
        if rows.height >= FEWEST:
            table = statistics(rows, SEED)
            by_name = {str(row["statistic"]): row for row in table.iter_rows(named=True)}
            found.append(Pair(str(run), (str(a), str(b)), rows, by_name))
    return found


def _panel(pair: Pair, roles: list[str], look: Look, columns: int) -> Chart:
    side = min(look.panel_width(columns), look.height(240))
    marked = thinned(pair.rows).sort("role")
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(roles, look))
    colours = alt.Scale(domain=roles, range=charts.cycle(look.theme.colours, len(roles)))
    shapes = alt.Scale(domain=roles, range=list(charts.SHAPES[: len(roles)]))
    titles = [lines_of(f"score by {shorten(visible(judge), 40)}", look, columns) for judge in pair.judges]
    points = alt.Chart(charts.data(marked)).mark_point(
        size=look.area(15), strokeWidth=look.stroke(0.8), opacity=0.7, clip=False
    )
    scale = alt.Scale(zero=False, nice=True, padding=look.height(5))
    axis = alt.Axis(tickCount=5, format=FORMAT, labelOverlap="greedy")
    layered = alt.layer(
        *_limits(look),
        points.encode(
            x=alt.X("score_a:Q", title=titles[0], scale=scale, axis=axis),
            y=alt.Y("score_b:Q", title=titles[1], scale=scale, axis=axis),
            color=alt.Color("role:N", scale=colours, legend=legend.copy()),
            shape=alt.Shape("role:N", scale=shapes, legend=legend.copy()),
            tooltip=_TOOLTIP,
        ),
    )
    heading = alt.Title(_heading(pair), fontSize=look.size(1.1), offset=look.height(4), frame="group")
    sized: Chart = layered.properties(width=side, height=side, title=heading)
    return sized


def _limits(look: Look) -> list[alt.Chart]:
    """Both zeros: where each judge's verdict turns."""
    rule = alt.Chart(alt.InlineData(values=[{}])).mark_rule(color=look.theme.line, strokeWidth=look.stroke(0.6))
    return [rule.encode(x=alt.datum(0)), rule.encode(y=alt.datum(0))]


def thinned(rows: pl.DataFrame) -> pl.DataFrame:
    """The completions of as many prompts, the first by id, as may be drawn."""
    if rows.height <= MAX_POINTS:
        return rows
    prompts = rows.group_by("prompt_id").len().sort("prompt_id")
    kept = prompts.filter(pl.col("len").cum_sum() <= MAX_POINTS)["prompt_id"]
    return rows.filter(pl.col("prompt_id").is_in(kept.to_list()))


def _heading(pair: Pair) -> list[str]:
    label = short_labels([pair.run], 26)[pair.run]
    return [label, f"r = {_value(pair.found['Pearson'])} (n = {pair.rows.height:,})"]


def _value(row: dict[str, float | None]) -> str:
    if row["value"] is None:
        return "undefined"
    if row["ci_low"] is None:
        return decimal(row["value"])
    return f"{decimal(row['value'])} [{decimal(row['ci_low'])}, {decimal(row['ci_high'])}]"


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("role:N"),
    alt.Tooltip("variant:N"),
    alt.Tooltip("prompt_id:Q", title="prompt"),
    alt.Tooltip("judge_a:N", title="first judge"),
    alt.Tooltip("score_a:Q", title="its score", format=".3f"),
    alt.Tooltip("judge_b:N", title="second judge"),
    alt.Tooltip("score_b:Q", title="its score", format=".3f"),
]


def _caption(shown: Sequence[Pair], n_rest: int, context: Context) -> str:
    runs = list(dict.fromkeys(pair.run for pair in shown))
    parts = [
        "One point for each completion that both judges scored. r: Pearson's coefficient, with its 95 % bootstrap "
        f"interval over prompts (2,000 resamples, seed {SEED}). Thin lines: 0, where verdicts turn.",
        *(_pair_words(pair) for pair in shown),
        patch_words(context, runs),
        locate_words(context, [pair.run for pair in shown if "before" in pair.rows["role"]]),
    ]
    if any(pair.rows.height > MAX_POINTS for pair in shown):
        parts.append(f"At most {MAX_POINTS} points a panel are drawn, those of the first prompts; r is of all.")
    if n_rest:
        parts.append(f"{count(n_rest, 'more pair')} not drawn (see the CSV file).")
    return " ".join(part for part in parts if part)


def _pair_words(pair: Pair) -> str:
    a, b = (shorten(visible(judge), 60) for judge in pair.judges)
    prompts = pair.rows["prompt_id"].n_unique()
    return (
        f"{pair.run}, {a} and {b} ({count(prompts, 'prompt')}): Spearman {_value(pair.found['Spearman'])}, kappa of "
        f"the verdicts {_value(pair.found['kappa'])}."
    )
