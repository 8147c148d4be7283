"""Causal effect against the number of patched neurons, beside matched random sets."""

from typing import Literal

import altair as alt
import polars as pl

from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

CONTROL = "random sets (points, mean, range)"
LARGE = "random sets, neurons as large"
GRADED = "the same sets in log-odds, where texts part"
_EFFECT = ("run", "dataset", "variant", "n_neurons", ("fraction", "share of neurons", ".3~%"), "effect")
TOOLTIP = marks.tooltip(*_EFFECT, *marks.INTERVAL, "n_prompts", "control_mean")
_GRADED = ("graded", "graded_ci_low", "graded_ci_high")
TOOLTIP_CONTROL = marks.tooltip(*_EFFECT, ("control_seed", "seed"))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run, or for each run and data set while they are few."""
    shown = rows.few_panels(frame)
    sets = shown.filter(pl.col("kind") == "set")
    words = [
        "Effect 1: the patched neurons carry the whole difference between donor and recipient; 0: none of it.",
        f"Bars are {interval_words(sets)}.",
        captions.GRADED if _graded(shown).height else "",
        control_words(shown),
        judge_words(sets),
        patch_words(context, rows.runs(sets)),
        captions.undefined(shown),
        _empty(sets),
        _left_out(frame, shown),
    ]
    return chart(marked(shown), look), words


def _graded(shown: pl.DataFrame) -> pl.DataFrame:
    """The sets' graded effects as rows to draw, of panels with one series: of several, curves would be too many."""
    if _GRADED[0] not in shown.columns:
        return shown.clear()
    alone = pl.col("series").n_unique().over("run", "dataset") == 1
    sets = shown.filter(alone).filter(pl.col("kind") == "set").drop_nulls(_GRADED)
    values = {name: pl.col(graded) for name, graded in zip(("effect", "ci_low", "ci_high"), _GRADED, strict=True)}
    return sets.with_columns(kind=pl.lit("graded"), **values)


def marked(shown: pl.DataFrame) -> pl.DataFrame:
    """Rows to draw: sets, single controls, and one summary row of the controls of each set."""
    alone = shown["series"].n_unique() == 1
    headed = rows.in_panels(shown).with_columns(
        label=pl.lit("patched neurons (bar: interval)") if alone else rows.short(shown, "series", 40)
    )
    summary = headed.filter((pl.col("kind") == "set") & pl.col("control_mean").is_not_null())
    graded = _graded(headed).with_columns(label=pl.lit(GRADED))
    parts = [headed.drop_nulls("effect"), summary.with_columns(kind=pl.lit("controls"))]
    large = pl.col("control_kind") == "magnitude" if "control_kind" in headed.columns else pl.lit(value=False)
    control = pl.when(large).then(pl.lit(LARGE)).otherwise(pl.lit(CONTROL))
    label = pl.when(pl.col("kind") != "set").then(control).otherwise("label")
    every = pl.concat([pl.concat(parts).with_columns(label=label), graded])
    return every.sort("panel", "kind", "series", "n_neurons", "variant")


def chart(
    marked: pl.DataFrame,
    look: Look,
    title: str = "causal effect",
    sizes: str = "patched neurons",
    *,
    alike: bool = True,
    shared: bool = True,
) -> Chart:
    """A panel for each run and data set, of the rows of :func:`marked`.

    title, sizes: of the axes. alike: values are effects, with lines at 0 and 1. shared: all panels have one scale.
    """
    labels = [label for label in rows.runs(marked, "label") if label not in (CONTROL, LARGE)]
    labels.sort(key=lambda label: label == GRADED)
    controlled = bool((marked["label"] == CONTROL).any())
    drawn = series.with_control(labels, look, controlled=controlled, control=CONTROL)
    if (marked["label"] == LARGE).any():
        drawn |= {LARGE: series.Mark(look.theme.colours[3], "cross")}
    found = series.channels(drawn, look)
    domain = {"domain": axes.effect_limits(marked)} if alike else {}
    scale = plain(**domain, nice=not alike, zero=False)
    y = axes.y(title=title, scale=scale)
    base = alt.Chart().encode(x=axes.sizes(marked, sizes), color=found.color)
    sets = base.transform_filter("datum.kind == 'set'")
    graded = base.transform_filter("datum.kind == 'graded'")
    layers = [
        *(marks.effect_lines(y, look, facets=True) if alike else ()),
        *_controls(base, y, found.shape, look),
        marks.line(graded, y, "effect", look, 1, clip=True).encode(strokeDash=found.dash),
        marks.bars(graded, y, marks.INTERVAL, look, 0.8, clip=True),
        marks.points(graded, y, "effect", look, shape=found.shape, tooltip=TOOLTIP),
        marks.line(sets, y, "effect", look, 1.3, clip=True).encode(strokeDash=found.dash, detail=["series:N"]),
        marks.bars(sets, y, marks.INTERVAL, look, 1, clip=True),
        marks.points(sets, y, "effect", look, shape=found.shape, tooltip=TOOLTIP),
    ]
    columns = panels.in_a_row(marked["panel"].n_unique(), look)
    own: Literal["axis", "scales"] = "axis" if shared else "scales"
    return panels.facets(layers, marked, look, columns, look.height(150), own=own)


def _controls(base: alt.Chart, y: axes.Axis, shape: alt.Shape, look: Look) -> list[alt.Chart]:
    summary = base.transform_filter("datum.kind == 'controls'")
    band = summary.mark_area(opacity=0.18, clip=True)
    points = base.transform_filter("datum.kind == 'control'")
    points = points.mark_point(size=look.area(9), strokeWidth=look.stroke(0.7), clip=True)
    return [
        band.encode(**y.span("control_min", "control_max"), detail=["series:N"]),
        marks.line(summary, y, "control_mean", look, 1, strokeDash=[5, 3], clip=True).encode(detail=["series:N"]),
        points.encode(**y.at("effect"), shape=shape, tooltip=TOOLTIP_CONTROL),
    ]


def control_words(shown: pl.DataFrame) -> str:
    controls = shown.filter(pl.col("kind") == "control")
    if controls.is_empty():
        return captions.NO_CONTROLS
    seeds = controls["control_seed"].unique().sort()
    return (
        "Grey: random sets with as many neurons in each layer, disjoint from the set "
        f"({count(len(seeds), 'seed')}: {listing([str(seed) for seed in seeds])}); dashed, their mean; "
        "band, their range."
        + (
            " Beside them random sets whose neurons are as large as the set's (root mean square under the model "
            "before), drawn within each layer."
            if "control_kind" in shown.columns and (controls["control_kind"] == "magnitude").any()
            else ""
        )
    )


def _empty(sets: pl.DataFrame) -> str:
    """Which panels are not there because none of their effects is defined."""
    panels = sets.group_by("run", "dataset").agg(pl.col("effect").count()).filter(pl.col("effect") == 0)
    names = [
        run if dataset == "*" else f"{run} ({dataset})" for run, dataset, _ in panels.sort("run", "dataset").rows()
    ]
    return f"No effect is defined in {listing(names)}." if names else ""


def _left_out(frame: pl.DataFrame, shown: pl.DataFrame) -> str:
    runs = frame["run"].n_unique() - shown["run"].n_unique()
    datasets = frame.filter(pl.col("run").is_in(shown["run"].unique().to_list()))
    parts = []
    if datasets.select("run", "dataset").n_unique() > shown.select("run", "dataset").n_unique():
        parts.append("Data sets are pooled here; the table of effects has each of them.")
    if runs:
        parts.append(f"{count(runs, 'more run')} {'is' if runs == 1 else 'are'} only in the table of effects.")
    return " ".join(parts)


FIGURE = Figure(
    name="effect-size",
    view="figure_effect_size",
    order=("run", "dataset", "series", "kind", "n_neurons", "variant"),
    title="Causal effect of the patched neurons, by their number",
    description="causal effect against number of patched neurons, with matched random sets (paper figure 2)",
    lacking=(
        "no finished patch run with a donor has sets of several sizes: run `snql patch … --donor … --sweep …` "
        "to get some"
    ),
    sketch=_sketch,
)
