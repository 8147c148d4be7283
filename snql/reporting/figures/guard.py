"""How well a guard tells harmful from harmless, by the number of neurons it reads, beside random neurons."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, guard_words, interval_words
from snql.reporting.kit import axes, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

KINDS = {
    "guard": "chosen neurons",
    "matched": "random, same layers",
    "magnitude": "random, like magnitude",
    "last-layer": "random, last layer",
    "anywhere": "random, from anywhere",
}
MAJORITY = "always what most are"
TOOLTIP = marks.tooltip(
    "run",
    "dataset",
    ("neurons", "neurons"),
    ("label", "read"),
    ("n_neurons", "number"),
    ("value", "accuracy", ".3f"),
    *marks.INTERVAL,
    ("difference", "chosen less this", "+.3f"),
    ("majority", MAJORITY, ".3f"),
    ("n_harmful", "harmful prompts"),
    "n_prompts",
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:  # noqa: ARG001 - what all figures are given
    """One panel for each tested guard, or for each and data set while they are few."""
    tested = frame.filter(stage="test") if (frame["stage"] == "test").any() else frame
    accuracy = tested.filter((pl.col("measure") == "accuracy") & pl.col("value").is_not_null())
    majority = tested.filter(measure="majority").select("run", "dataset", majority="value")
    majority = majority.unique(["run", "dataset"], maintain_order=True)
    shown = rows.few_panels(accuracy.with_columns(pooled=pl.col("dataset") == "*"))
    shown = shown.join(majority, on=["run", "dataset"], how="left", maintain_order="left")
    stage = "that the guard has not seen" if (shown["stage"] == "test").all() else "held out of its fits"
    words = [
        f"A guard says from activations at the last prompt token whether the answer will be judged harmful; prompts "
        f"{stage}. Bars are {interval_words(shown)}.",
        _random_words(shown),
        "Dotted: the accuracy of always saying what most of these prompts are.",
        guard_words(shown.filter(pl.col("is_main"))),
        _left_out(accuracy, shown),
    ]
    return _chart(shown, look), words


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    headed = rows.in_panels(shown).with_columns(label=pl.col("kind").replace_strict(KINDS, return_dtype=pl.String))
    theme = look.theme
    colours = (theme.colours[0], theme.colours[1], theme.colours[3], theme.control, theme.colours[2])
    every = dict(zip(KINDS.values(), map(Mark, colours, series.SHAPES, series.DASHES), strict=False))
    drawn = {label: mark for label, mark in every.items() if label in headed["label"]}
    found = series.channels(drawn | {MAJORITY: Mark(theme.ink, "stroke")}, look)
    y = axes.y(title="accuracy", scale=plain(domain=_limits(headed), nice=False, zero=False))
    base = alt.Chart().encode(x=axes.sizes(headed, "neurons read"), color=found.color)
    constant = alt.Chart().mark_rule(strokeDash=[1, 2], strokeWidth=look.stroke(1.2))
    layers = [
        constant.encode(**y.at("majority"), color=alt.datum(MAJORITY), shape=alt.datum(MAJORITY)),
        marks.line(base, y, "value", look, clip=True).encode(strokeDash=found.dash),
        marks.bars(base, y, marks.INTERVAL, look, 0.9, opacity=0.7, clip=True),
        marks.points(base, y, "value", look, 22, shape=found.shape, tooltip=TOOLTIP),
    ]
    columns = panels.in_a_row(headed["panel"].n_unique(), look)
    return panels.facets(layers, headed, look, columns, look.height(150))


def _limits(shown: pl.DataFrame) -> tuple[float, float]:
    """From below the lowest interval and constant to a little over 1."""
    lowest = [value for name in ("value", "ci_low", "majority") for value in shown[name].drop_nulls()]
    low = min([*lowest, 0.9])
    return max(0.0, low - 0.05 * (1 - low)), 1 + 0.05 * (1 - low)


def _random_words(shown: pl.DataFrame) -> str:
    """What random neurons show, by the paired intervals of the guards' own sets."""
    controls = shown.filter((pl.col("kind") != "guard") & pl.col("is_main"))
    if controls.is_empty():
        return "No random neurons were tried, so nothing shows what any neurons would do."
    seeds = listing([str(number) for number in controls["n_classifiers"].unique().sort().to_list()])
    better = controls.filter(pl.col("difference_ci_low") > 0).height
    worse = controls.filter(pl.col("difference_ci_high") < 0).height
    return (
        f"Random neurons are the mean of {seeds} sets of a kind, none of the chosen ones. Of "
        f"{count(controls.height, 'comparison')} of a guard with random neurons, the paired interval of the difference "
        f"is above 0 in {better}, below 0 in {worse}; in the rest they do as well, as far as these prompts can tell."
    )


def _left_out(accuracy: pl.DataFrame, shown: pl.DataFrame) -> str:
    keys = ["run", "dataset"]
    left = accuracy.select(keys).unique().join(shown.select(keys).unique(), on=keys, how="anti").height
    return f"{count(left, 'more data set')} only in the CSV file." if left else ""


FIGURE = Figure(
    name="guard",
    view="guard_scores",
    order=("run", "stage", "dataset", "n_neurons", "neurons", "kind", "measure"),
    title="Accuracy of guards, by the number of neurons they read",
    description="accuracy of guards against the number of neurons, with random neurons (paper figure 10b)",
    lacking="no guard was trained: run `snql guard train`, then `snql guard test`",
    sketch=_sketch,
)
