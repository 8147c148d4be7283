"""The same classifier on chosen neurons, random ones, all of them, their principal components, the residual stream."""

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
from snql.writing.words import count

MAX_RUNS = 3
MEASURES = {
    "accuracy": ("accuracy", ("accuracy_ci_low", "accuracy_ci_high")),
    "auroc": ("AUROC", ("auroc_ci_low", "auroc_ci_high")),
    "added_ms": ("added to a prefill (ms)", ("added_ms_low", "added_ms_high")),
}
CHOSEN, RANDOM, OTHER = "chosen neurons", "random neurons", "all neurons or the stream"
TOOLTIP = marks.tooltip(
    "run",
    ("label", "read"),
    ("n_numbers", "numbers"),
    ("accuracy", "accuracy", ".3f"),
    ("accuracy_ci_low", "from", ".3f"),
    ("accuracy_ci_high", "to", ".3f"),
    ("difference", "chosen less this", "+.3f"),
    ("auroc", "AUROC", ".3f"),
    ("added_ms", "milliseconds", ".3f"),
    "n_prompts",
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:  # noqa: ARG001 - what all figures are given
    """A row of panels for each run: accuracy, AUROC, and what reading adds to a prefill; a line for each reader."""
    shown, runs, n_rest = rows.first_runs(rows.pooled(frame), MAX_RUNS)
    labelled = shown.with_columns(
        kind_of=pl.when(pl.col("kind") == "guard")
        .then(pl.lit(CHOSEN))
        .when(pl.col("kind").is_in(["all", "components", "residual"]))
        .then(pl.lit(OTHER))
        .otherwise(pl.lit(RANDOM))
    )
    words = [
        "A classifier says from what it reads at the last prompt token whether the answer will be judged harmful. Each "
        "prompt is judged by a fit that had nothing of its family; regularisation, number of components and layer are "
        f"chosen without it, too. Bars are {interval_words(shown)}; of milliseconds, quartiles over repeated prefills.",
        "Dotted: the accuracy of always saying what most of these prompts are. Random neurons: means over seeds.",
        *(_run_words(shown.filter(pl.col("run") == run)) for run in runs),
        judge_words(shown),
        captions.runs_left_out(len(runs), n_rest),
    ]
    drawn = [_row(labelled.filter(pl.col("run") == run), look) for run in runs]
    return alt.vconcat(*drawn, spacing=look.height(12)), words


def _row(of_run: pl.DataFrame, look: Look) -> Chart:
    """The panels of one run side by side where there is room, else below each other."""
    measured = [name for name in MEASURES if of_run[name].is_not_null().any()]
    columns = look.columns(len(measured), narrowest=130, most=3)
    theme = look.theme
    drawn = {
        CHOSEN: Mark(theme.colours[0], "circle"),
        RANDOM: Mark(theme.control, "diamond"),
        OTHER: Mark(theme.colours[1], "square"),
    }
    found = series.channels(drawn, look, "kind_of")
    plots = [_panel(of_run, name, found, look, columns, first=at % columns == 0) for at, name in enumerate(measured)]
    whole: Chart = alt.concat(*plots, columns=columns, spacing=look.height(8))
    return whole


def _panel(of_run: pl.DataFrame, name: str, found: series.Channels, look: Look, columns: int, *, first: bool) -> Chart:
    title, ends = MEASURES[name]
    scale = plain(zero=name == "added_ms", nice=True, padding=look.height(4))
    x = axes.x(scale=scale, axis=plain(title=title, labelOverlap="greedy", tickCount=4))
    places = of_run.sort("place")["label"].to_list()
    y = alt.Y("label:N", sort=places, axis=axes.name_axis(look, 0.42) if first else None)
    base = alt.Chart(charts.data(of_run)).encode(y=y, color=found.color)
    layers: list[alt.Chart] = []
    if name == "accuracy":
        constant = alt.Chart(charts.data(of_run.head(1))).mark_rule(strokeDash=[1, 2], strokeWidth=look.stroke(1.2))
        layers.append(constant.encode(**x.at("majority"), color=alt.value(look.theme.ink)))
    layers += [
        marks.bars(base, x, ends, look, 1.2),
        marks.points(base, x, name, look, 30, shape=found.shape, tooltip=TOOLTIP),
    ]
    return panels.panel(layers, look, alt.Step(look.height(15)), columns)


def _run_words(of_run: pl.DataFrame) -> str:
    """How many prompts, which folds, and what was chosen in them."""
    first = of_run.sort("place").row(0, named=True)
    chosen = {row["kind"]: row for row in of_run.iter_rows(named=True)}
    words = (
        f"{first['run']}: {first['neurons']} ({count(first['n_numbers'], 'neuron')}) of {first['model']}, "
        f"{count(first['n_prompts'], 'prompt')}, {first['n_harmful']:,} with a harmful answer, {first['n_folds']} "
        f"folds of families ({first['families']}), seed {first['seed']}"
    )
    if "residual" in chosen:
        words += f"; layers chosen: {chosen['residual']['layers']}"
    if "components" in chosen:
        words += f"; components: {chosen['components']['components']}"
    return f"{words}."


FIGURE = Figure(
    name="guard-comparison",
    view="guard_comparison",
    order=("run", "place", "dataset"),
    title="One classifier on what it may read",
    description="one classifier on chosen, random and all neurons and the residual stream: accuracy, AUROC, latency",
    lacking="no guards were compared: run `snql guard compare`",
    sketch=_sketch,
)
