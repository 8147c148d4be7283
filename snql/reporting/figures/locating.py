"""How locating decides what is found: rankings that differ in one respect, patched beside each other."""

from collections.abc import Callable
from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, locate_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.figures.effect_size import limits, undefined_words, x_axis, x_scale
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import short_labels

ORDER = ("comparison", "dataset", "source", "n_neurons", "run", "variant")
MAX_COMPARISONS = 4
CONTROL = "random sets (range over all)"
_APART = 0.012
Namer = Callable[[pl.DataFrame], pl.Expr]


def draw(frame: pl.DataFrame, context: Context, look: Look, title: str, named: Namer) -> Drawing:
    """Effect and mean score for each comparison and data set; one line for each locate run, named by ``named``."""
    rows = sourced.once(frame, "comparison", "dataset", "source", "n_neurons").sort(ORDER)
    pooled = rows.filter(pl.col("pooled"))
    keys = pooled.select("comparison", "dataset").unique(maintain_order=True)
    shown = pooled.join(keys.head(MAX_COMPARISONS), on=["comparison", "dataset"], how="semi", maintain_order="left")
    labelled = _labelled(shown, named)
    return Drawing(_chart(labelled, look, title), title, _caption(frame, shown, keys.height, context))


def _labelled(shown: pl.DataFrame, named: Namer) -> pl.DataFrame:
    """Rows with the label of their line: what differs, with the run where two runs do not differ in it."""
    told = shown.with_columns(told=named(shown))
    alike = told.group_by("told").agg(pl.col("source").n_unique().alias("n_runs"))
    told = told.join(alike, on="told", maintain_order="left").with_columns(
        told=pl.when(pl.col("n_runs") > 1).then(pl.concat_str("told", pl.lit(" · "), "source")).otherwise("told")
    )
    labels = short_labels(told["told"].unique().sort(), 52)
    heading = pl.concat_str(sourced.directions(shown), pl.lit(", "), sourced.places(shown))
    return told.with_columns(label=pl.col("told").replace_strict(labels, return_dtype=pl.String), heading=heading)


def _chart(rows: pl.DataFrame, look: Look, title: str) -> Chart:
    labels = rows["label"].unique().sort().to_list()
    controlled = bool(rows["control_mean"].is_not_null().any())
    color, shape = sourced.channels(labels, controlled, look, CONTROL)
    dashes = alt.Scale(domain=labels, range=charts.cycle(charts.DASHES, len(labels)))
    dash = alt.StrokeDash("label:N", scale=dashes, legend=None)
    columns = look.columns(2, narrowest=150)
    panels: list[Chart] = []
    for part in map(_apart, rows.partition_by("comparison", "dataset", maintain_order=True)):
        x = alt.X("place:Q", title="patched neurons", scale=x_scale(part), axis=x_axis())
        base = alt.Chart(charts.data(part)).encode(x=x, color=color)
        panels += [
            _effects(part, base, x, shape, dash, look).properties(
                width=look.panel_width(columns), height=look.height(120), title=_heading(part["heading"][0], look)
            ),
            _scores(part, base, shape, dash, look).properties(
                width=look.panel_width(columns), height=look.height(120), title=_heading(" ", look)
            ),
        ]
    return charts.finish(alt.concat(*panels, columns=columns, spacing=look.height(10)), look, title)


def _apart(part: pl.DataFrame) -> pl.DataFrame:
    """Rows with the place of their mark: sets of one size stand a little apart, so that no interval hides another."""
    lines = part["label"].unique().sort().to_list()
    turn = pl.col("label").replace_strict(lines, range(len(lines)), return_dtype=pl.Float64) - (len(lines) - 1) / 2
    if part["n_neurons"].min() and x_scale(part).to_dict().get("type") == "log":
        return part.with_columns(place=pl.col("n_neurons") * (1 + _APART) ** turn)
    return part.with_columns(place=pl.col("n_neurons") + turn * _APART * pl.col("n_neurons").max())


def _heading(text: str, look: Look) -> alt.Title:
    return alt.Title(text, fontSize=look.size(1.1), offset=look.height(4), frame="group")


def _effects(
    part: pl.DataFrame, base: alt.Chart, x: alt.X, shape: alt.Shape, dash: alt.StrokeDash, look: Look
) -> Chart:
    scale = alt.Scale(domain=limits(sourced.with_controls(part)), nice=False, zero=False)
    y = partial(alt.Y, title="causal effect", scale=scale)
    layers = [*sourced.references(y, "y", look), *_controls(part, x, y, look)]
    chart: Chart = alt.layer(*layers, *_lines(base, y, ("effect", "ci_low", "ci_high"), shape, dash, look))
    return chart


def _controls(part: pl.DataFrame, x: alt.X, y: "partial[alt.Y]", look: Look) -> list[alt.Chart]:
    """One band for all sets of a size: their random sets differ little, and seven bands would hide the lines."""
    band = part.filter(pl.col("control_mean").is_not_null())
    band = band.group_by("n_neurons").agg(pl.col("control_min").min(), pl.col("control_max").max()).sort("n_neurons")
    if band.is_empty():
        return []
    ranges = alt.Chart(charts.data(band.with_columns(place=pl.col("n_neurons")))).encode(x=x)
    area = ranges.mark_area(opacity=0.3, clip=True, color=look.theme.control)
    ends = ranges.mark_point(size=look.area(10), filled=True, opacity=1, clip=True)
    named = {"color": alt.datum(CONTROL), "shape": alt.datum(CONTROL)}
    return [
        area.encode(y=y("control_min:Q"), y2="control_max:Q"),
        *(ends.encode(y=y(f"{column}:Q"), **named) for column in ("control_min", "control_max")),
    ]


def _lines(
    base: alt.Chart,
    y: "partial[alt.Y]",
    columns: tuple[str, str, str],
    shape: alt.Shape,
    dash: alt.StrokeDash,
    look: Look,
) -> list[alt.Chart]:
    value, low, high = columns
    lines = base.mark_line(strokeWidth=look.stroke(1.2), clip=True)
    bars = base.mark_rule(strokeWidth=look.stroke(0.9), clip=True)
    points = base.mark_point(filled=True, opacity=1, size=look.area(24))
    return [
        lines.encode(y=y(f"{value}:Q"), strokeDash=dash),
        bars.encode(y=y(f"{low}:Q"), y2=f"{high}:Q"),
        points.encode(y=y(f"{value}:Q"), shape=shape, tooltip=[*sourced.TOOLTIP, *_SCORES]),
    ]


def _scores(part: pl.DataFrame, base: alt.Chart, shape: alt.Shape, dash: alt.StrokeDash, look: Look) -> Chart:
    """Mean score of the patched model, between lines for recipient and donor."""
    judge = short_labels(part["judge"].unique().sort(), 28)[part["judge"][0]]
    y = partial(alt.Y, title=f"mean score by {judge}", scale=alt.Scale(zero=False, nice=False, padding=look.height(13)))
    drawn: list[alt.Chart] = []
    for role, dashes, side in (("recipient", [1, 0], "right"), ("donor", [4, 3], "left")):
        at = alt.Chart(alt.InlineData(values=[{"at": part[f"mean_{role}"][0], "role": role}])).encode(y=y("at:Q"))
        rule = at.mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dashes)
        higher = part["mean_donor"][0] < part["mean_recipient"][0]
        above = higher if role == "recipient" else not higher
        text = at.mark_text(
            align="right" if side == "right" else "left",
            baseline="bottom" if above else "top",
            dx=-look.height(2) if side == "right" else look.height(2),
            dy=-look.height(2) if above else look.height(2),
            fontSize=look.size(),
            color=look.theme.muted,
        )
        drawn += [rule, text.encode(x=alt.value("width" if side == "right" else 0), text="role:N")]
    scored = base.transform_calculate(
        patched_low="datum.mean_recipient + datum.change_ci_low",
        patched_high="datum.mean_recipient + datum.change_ci_high",
    )
    lines = _lines(scored, y, ("mean_patched", "patched_low", "patched_high"), shape, dash, look)
    chart: Chart = alt.layer(*drawn, *lines)
    return chart


_SCORES = [
    alt.Tooltip("mean_recipient:Q", title="recipient", format=".3f"),
    alt.Tooltip("mean_patched:Q", title="patched", format=".3f"),
    alt.Tooltip("mean_donor:Q", title="donor", format=".3f"),
]


def _caption(frame: pl.DataFrame, shown: pl.DataFrame, n_comparisons: int, context: Context) -> str:
    drawn = shown.select("comparison", "dataset").n_unique()
    parts = [
        "The locate runs of a comparison agree in all that their rankings depend on, except for what the lines are "
        "named by; their tops were patched into the same recipient on the same prompts. Effect 1: the set carries the "
        "whole difference between donor and recipient; 0: none of it. "
        f"Bars are {interval_words(shown)}; those of mean scores are of the change from the recipient. "
        "Sets of one size are drawn a little apart.",
        sourced.control_words(shown).replace("mean and range of random sets", "range of all random sets"),
        judge_words(shown),
        undefined_words(shown),
        sourced.TWICE,
        patch_words(context, shown["run"].unique().sort().to_list()),
        locate_words(context, shown["source"].unique().sort().to_list()),
        "Data sets are pooled here; the CSV file has each of them." if not frame["pooled"].all() else "",
        sourced.left_out(n_comparisons - drawn, "comparison"),
    ]
    return " ".join(part for part in parts if part)
