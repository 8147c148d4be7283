"""How locating decides what is found: rankings that differ in one respect, patched beside each other."""

from collections.abc import Callable
from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, locate_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart

ORDER = ("comparison", "dataset", "source", "n_neurons", "run", "variant")
MAX_COMPARISONS = 4
CONTROL = "random sets (range over all)"
APART = 0.012
"""How far sets of one size stand from each other, as a share of the axis or of the size."""
TOOLTIP = marks.tooltip(*marks.SET, "mean_recipient", "mean_patched", "mean_donor")
Namer = Callable[[pl.DataFrame], pl.Expr]


def _sketch(frame: pl.DataFrame, context: Context, look: Look, *, named: Namer) -> Sketch:
    """Effect and mean score for each comparison and data set; one line for each locate run, named by ``named``."""
    every = rows.once(frame, "comparison", "dataset", "source", "n_neurons").sort(ORDER)
    shown, n_rest = rows.first(every.filter(pl.col("pooled")), MAX_COMPARISONS, "comparison", "dataset")
    words = [
        "The locate runs of a comparison agree in all that their rankings depend on, except for what the lines are "
        f"named by; their tops were patched into the same recipient on the same prompts. {captions.EFFECT} "
        f"Bars are {interval_words(shown)}; those of mean scores are of the change from the recipient. "
        "Sets of one size are drawn a little apart.",
        captions.controls(shown, "range of all random sets"),
        judge_words(shown),
        captions.undefined(shown),
        captions.TWICE,
        patch_words(context, rows.runs(shown)),
        locate_words(context, rows.runs(shown, "source")),
        "Data sets are pooled here; the CSV file has each of them." if not frame["pooled"].all() else "",
        captions.left_out(n_rest, "comparison"),
    ]
    return _chart(_labelled(shown, named), look), words


def _labelled(shown: pl.DataFrame, named: Namer) -> pl.DataFrame:
    """Rows with the label of their line: what differs, with the run where two runs do not differ in it."""
    told = shown.with_columns(told=named(shown))
    alike = told.group_by("told").agg(pl.col("source").n_unique().alias("n_runs"))
    told = told.join(alike, on="told", maintain_order="left").with_columns(
        told=pl.when(pl.col("n_runs") > 1).then(pl.format("{} · {}", "told", "source")).otherwise("told")
    )
    heading = pl.concat_str(rows.directions(shown), rows.datasets(shown), separator=", ")
    return told.with_columns(label=rows.short(told, "told", 52), heading=heading)


def _chart(labelled: pl.DataFrame, look: Look) -> Chart:
    controlled = bool(labelled["control_mean"].is_not_null().any())
    drawn = series.with_control(rows.runs(labelled, "label"), look, controlled=controlled, control=CONTROL)
    found = series.channels(drawn, look)
    columns = look.columns(2, narrowest=150)
    plots: list[Chart] = []
    for part in map(_apart, labelled.partition_by("comparison", "dataset", maintain_order=True)):
        x = axes.sizes(part, "patched neurons", "place")
        base = alt.Chart(charts.data(part)).encode(x=x, color=found.color)
        layers = {part["heading"][0]: _effects(part, base, x, found, look), " ": _scores(part, base, found, look)}
        plots += [
            panels.panel(drawn, look, look.height(120), columns, title=panels.heading(heading, look))
            for heading, drawn in layers.items()
        ]
    return alt.concat(*plots, columns=columns, spacing=look.height(10))


def _apart(part: pl.DataFrame) -> pl.DataFrame:
    """Rows with the place of their mark: sets of one size stand a little apart, so that no interval hides another."""
    lines = rows.runs(part, "label")
    turn = pl.col("label").replace_strict(lines, range(len(lines)), return_dtype=pl.Float64) - (len(lines) - 1) / 2
    if part["n_neurons"].min() and axes.size_scale(part["n_neurons"]).get("type") == "log":
        return part.with_columns(place=pl.col("n_neurons") * (1 + APART) ** turn)
    return part.with_columns(place=pl.col("n_neurons") + turn * APART * pl.col("n_neurons").max())


def _effects(part: pl.DataFrame, base: alt.Chart, x: alt.X, found: series.Channels, look: Look) -> list[alt.Chart]:
    y = axes.y(title="causal effect", scale=axes.effect_scale(part))
    effect = ("effect", "ci_low", "ci_high")
    return [*marks.effect_lines(y, look), *_controls(part, x, y, look), *_lines(base, y, effect, found, look)]


def _controls(part: pl.DataFrame, x: alt.X, y: axes.Axis, look: Look) -> list[alt.Chart]:
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
        area.encode(**y.span("control_min", "control_max")),
        *(ends.encode(**y.at(column), **named) for column in ("control_min", "control_max")),
    ]


def _lines(
    base: alt.Chart, y: axes.Axis, columns: tuple[str, str, str], found: series.Channels, look: Look
) -> list[alt.Chart]:
    value, *ends = columns
    return [
        marks.line(base, y, value, look, clip=True).encode(strokeDash=found.dash),
        marks.bars(base, y, (ends[0], ends[1]), look, 0.9, clip=True),
        marks.points(base, y, value, look, 24, shape=found.shape, tooltip=TOOLTIP),
    ]


def _scores(part: pl.DataFrame, base: alt.Chart, found: series.Channels, look: Look) -> list[alt.Chart]:
    """Mean score of the patched model, between lines for recipient and donor."""
    judge = part.select(rows.short(part, "judge", 28)).item(0, 0)
    scale = plain(zero=False, nice=False, padding=look.height(13))
    y = axes.y(title=f"mean score by {judge}", scale=scale)
    scored = base.transform_calculate(
        patched_low="datum.mean_recipient + datum.change_ci_low",
        patched_high="datum.mean_recipient + datum.change_ci_high",
    )
    columns = ("mean_patched", "patched_low", "patched_high")
    recipient, donor = part["mean_recipient"][0], part["mean_donor"][0]
    return [
        *_level("recipient", recipient, y, look, above=donor < recipient, dash=[1, 0]),
        *_level("donor", donor, y, look, above=donor >= recipient, dash=[4, 3]),
        *_lines(scored, y, columns, found, look),
    ]


def _level(role: str, at: float, y: axes.Axis, look: Look, *, above: bool, dash: list[int]) -> list[alt.Chart]:
    """A line at a model's mean score, its name at the right end if it is the recipient, else at the left one."""
    right, gap = role == "recipient", look.height(2)
    base = alt.Chart(alt.InlineData(values=[{"at": at, "role": role}])).encode(**y.at("at"))
    text = base.mark_text(
        align="right" if right else "left",
        baseline="bottom" if above else "top",
        dx=-gap if right else gap,
        dy=-gap if above else gap,
        fontSize=look.size(),
        color=look.theme.muted,
    )
    return [
        base.mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash),
        text.encode(x=alt.value("width" if right else 0), text="role:N"),
    ]


def _by_prompts(shown: pl.DataFrame) -> pl.Expr:
    return pl.format("{} ({} prompts)", rows.short(shown, "located_on", 34), "located_prompts")


def _by_pair(shown: pl.DataFrame) -> pl.Expr:
    before, after = rows.short(shown, "before", 18, "after"), rows.short(shown, "after", 18, "before")
    by = pl.col("completions_by")
    words = pl.when(by.str.starts_with("the text of ")).then(by).otherwise(pl.format("{} writes", by))
    return pl.format("{} against {}, {}", before, after, words)


def _by_positions(_: pl.DataFrame) -> pl.Expr:
    return pl.format("{} positions", "positions")


def _figure(name: str, named: Namer, by: str, shown_by: str, differ: str, other: str) -> Figure:
    """One of these figures: what its lines are named by in its title and in the list of figures, and how to get it."""
    return Figure(
        name=f"locating-{name}",
        view=f"figure_locating_{name}",
        order=ORDER,
        title=f"Causal effect and mean score, by {by}",
        description=f"causal effect and mean score by {shown_by}",
        lacking=(
            f"no patch run has sets of several sizes from locate runs that differ in {differ} only: run `snql locate` "
            f"with other {other}, then `snql patch … --neurons RUN --neurons OTHER --sweep …`"
        ),
        sketch=partial(_sketch, named=named),
    )


PROMPTS = _figure(
    "prompts",
    _by_prompts,
    by="the prompts on which the neurons were located",
    shown_by="the prompts on which neurons were located (paper figure 7)",
    differ="their prompts",
    other="prompts",
)
PAIRS = _figure(
    "pairs",
    _by_pair,
    by="the compared models and by who writes",
    shown_by="the compared pair of models and by who writes (paper figure 8)",
    differ="their models or who writes",
    other="models or writer",
)
POSITIONS = _figure(
    "positions",
    _by_positions,
    by="the token positions at which the neurons were located",
    shown_by="the token positions at which neurons were located (paper figure 9)",
    differ="the positions that they read",
    other="positions",
)
