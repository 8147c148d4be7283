"""What answers cost with a guard and without, of the model before and the one after."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

MAX_RUNS = 6
GUARDS = {"none": "no guard", "before": "guard reads the model before", "after": "guard reads the model after"}
MEASURES = {
    "mean_cost": ("mean cost of accepted answers", ("ci_low", "ci_high")),
    "refusal_rate": ("prompts refused by guard or model", ("refusal_rate_ci_low", "refusal_rate_ci_high")),
}
TOOLTIP = marks.tooltip(
    "run",
    "model_spec",
    ("label", "guard"),
    "dataset",
    ("mean_cost", "mean cost", ".3f"),
    "change",
    ("guard_rate", "refused by guard", ".3f"),
    ("refusal_rate", "refused", ".3f"),
    ("n_accepted", "accepted"),
    "n_prompts",
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:  # noqa: ARG001 - what all figures are given
    """One panel for each run of costs, one of refusals below; rows are models and data sets."""
    shown, _, _ = rows.first_runs(frame, MAX_RUNS)
    if shown.select("run", "dataset").n_unique() > MAX_RUNS:
        shown = rows.pooled(shown)
    labelled = _labelled(shown, look)
    none = shown["mean_cost"].null_count()
    words = [
        "Above: the mean score of the answers that are given, in the judge's units; below: the share of prompts that "
        "the guard refuses or the model itself (by phrases of refusals, which is crude). Bars are "
        f"{interval_words(shown)}.",
        "A guard that refused at random would leave the mean cost as it is. It was trained on the model before; where "
        "it reads the model after, it reads that model's own activations.",
        judge_words(shown),
        _model_words(shown),
        f"In {count(none, 'row')} no answer was accepted, so none has a cost." if none else "",
        captions.left_out(frame.height - shown.height, "row"),
    ]
    drawn = [_panel(labelled, value, look) for value in MEASURES]
    return alt.vconcat(*drawn, spacing=look.height(10)), words


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    between = "\n" if look.narrow else " · "
    place = pl.concat_str(rows.short(shown, "run", 20), "model", rows.datasets(shown), separator=between)
    return shown.with_columns(
        place=place, label=pl.col("guarded_by").replace_strict(GUARDS, return_dtype=pl.String)
    ).sort("run", pl.col("model") == "after", pl.col("dataset") == "*", "dataset", "guarded_by")


def _panel(labelled: pl.DataFrame, value: str, look: Look) -> Chart:
    title, ends = MEASURES[value]
    colours = (look.theme.control, *look.theme.colours[:2])
    every = dict(zip(GUARDS.values(), map(Mark, colours, ("circle", "diamond", "square")), strict=True))
    found = series.channels({label: mark for label, mark in every.items() if label in labelled["label"]}, look)
    scale = plain(zero=value != "mean_cost", nice=True, padding=look.height(5))
    x = axes.x(scale=scale, axis=plain(title=title, labelOverlap="greedy", tickCount=6))
    base = alt.Chart(charts.data(labelled)).encode(
        y=axes.tall_names(labelled["place"].unique(maintain_order=True).to_list(), look, 0.5),
        yOffset=alt.YOffset("label:N", sort=list(GUARDS.values())),
        color=found.color,
    )
    layers = [
        marks.bars(base, x, ends, look, 1.2),
        marks.points(base, x, value, look, shape=found.shape, tooltip=TOOLTIP),
    ]
    return panels.panel(layers, look, alt.Step(look.height(34 if look.narrow else 26), **{"for": "position"}))


def _model_words(shown: pl.DataFrame) -> str:
    models = shown.select("run", "model", "model_spec").unique().sort("run", "model", descending=[False, True])
    groups: dict[str, list[str]] = {}
    for (run,), group in models.group_by("run", maintain_order=True):
        words = listing([f"{spec or 'unknown'} {model}" for _, model, spec in group.iter_rows()])
        groups.setdefault(words, []).append(str(run))
    return " ".join(f"{listing(runs)}: {words}." for words, runs in groups.items())


FIGURE = Figure(
    name="guard-costs",
    view="guard_costs",
    order=("run", "dataset", "model", "guarded_by"),
    title="Mean cost of accepted answers, with and without guard",
    description="mean cost of accepted answers and refusals, with and without guard (paper figure 4)",
    lacking="no costs under a guard were measured: run `snql guard test … --costs`",
    sketch=_sketch,
)
