"""How well a guard tells harmful from harmless, by the number of neurons it reads, beside random neurons."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, guard_words, interval_words
from snql.reporting.figures.effect_size import choose_panels, panel_labels, x_axis, x_scale
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing

NAME = "guard"
VIEW = "guard_scores"
ORDER = ("run", "stage", "dataset", "n_neurons", "neurons", "kind", "measure")
DESCRIPTION = "accuracy of guards against the number of neurons, with random neurons (paper figure 10b)"
LACKING = "no guard was trained: run `snql guard train`, then `snql guard test`"
TITLE = "Accuracy of guards, by the number of neurons they read"
KINDS = {
    "guard": "chosen neurons",
    "matched": "random, same layers",
    "last-layer": "random, last layer",
    "anywhere": "random, from anywhere",
}
MAJORITY = "always what most are"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:  # noqa: ARG001 - what all figures are given
    """One panel for each tested guard, or for each and data set while they are few."""
    tested = frame.filter(stage="test") if (frame["stage"] == "test").any() else frame
    accuracy = tested.filter((pl.col("measure") == "accuracy") & pl.col("value").is_not_null())
    majority = tested.filter(measure="majority").select("run", "dataset", "value", majority="value")
    majority = majority.drop("value").unique(["run", "dataset"], maintain_order=True)
    shown = choose_panels(accuracy.with_columns(pooled=pl.col("dataset") == "*"))
    shown = shown.join(majority, on=["run", "dataset"], how="left", maintain_order="left")
    return Drawing(_chart(shown, look), TITLE, _caption(accuracy, shown))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    panels = panel_labels(shown)
    headed = shown.with_columns(
        panel=pl.struct("run", "dataset").map_elements(
            lambda key: panels[(key["run"], key["dataset"])], return_dtype=pl.String
        ),
        label=pl.col("kind").replace_strict(KINDS, return_dtype=pl.String),
    )
    labels = [label for label in KINDS.values() if label in headed["label"]]
    color, shape, dash = _channels(labels, look)
    columns = look.columns(len(panels), most=3 if len(panels) > 4 else 2)
    x = alt.X("n_neurons:Q", title="neurons read", scale=x_scale(headed), axis=x_axis())
    y = partial(alt.Y, title="accuracy", scale=alt.Scale(domain=_limits(headed), nice=False, zero=False))
    base = alt.Chart().encode(x=x, color=color)
    constant = (
        alt.Chart()
        .mark_rule(strokeDash=[1, 2], strokeWidth=look.stroke(1.2))
        .encode(y=y("majority:Q"), color=alt.datum(MAJORITY), shape=alt.datum(MAJORITY))
    )
    lines = base.mark_line(strokeWidth=look.stroke(1.2), clip=True).encode(y=y("value:Q"), strokeDash=dash)
    bars = base.mark_rule(strokeWidth=look.stroke(0.9), opacity=0.7, clip=True).encode(y=y("ci_low:Q"), y2="ci_high:Q")
    points = base.mark_point(filled=True, opacity=1, size=look.area(22)).encode(
        y=y("value:Q"), shape=shape, tooltip=_TOOLTIP
    )
    layered = alt.layer(constant, lines, bars, points, data=charts.data(headed))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(150))
    facet = layered.facet(facet=charts.facet(list(panels.values())), columns=columns).resolve_axis(x="independent")
    return charts.finish(facet, look, TITLE)


def _channels(labels: list[str], look: Look) -> tuple[alt.Color, alt.Shape, alt.StrokeDash]:
    domain = [*labels, MAJORITY]
    theme = look.theme
    colours = dict(
        zip(KINDS.values(), (theme.colours[0], theme.colours[1], theme.control, theme.colours[2]), strict=True)
    )
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(domain, look))
    shapes = dict(zip(KINDS.values(), charts.SHAPES, strict=False))
    dashes = dict(zip(KINDS.values(), charts.DASHES, strict=False))
    return (
        alt.Color(
            "label:N", scale=alt.Scale(domain=domain, range=[*(colours[x] for x in labels), theme.ink]), legend=legend
        ),
        alt.Shape(
            "label:N", scale=alt.Scale(domain=domain, range=[*(shapes[x] for x in labels), "stroke"]), legend=legend
        ),
        alt.StrokeDash("label:N", scale=alt.Scale(domain=labels, range=[dashes[x] for x in labels]), legend=None),
    )


def _limits(shown: pl.DataFrame) -> tuple[float, float]:
    """From below the lowest interval and constant to a little over 1."""
    lowest = [value for name in ("value", "ci_low", "majority") for value in shown[name].drop_nulls()]
    low = min([*lowest, 0.9])
    return max(0.0, low - 0.05 * (1 - low)), 1 + 0.05 * (1 - low)


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("neurons:N"),
    alt.Tooltip("label:N", title="read"),
    alt.Tooltip("n_neurons:Q", title="number", format=","),
    alt.Tooltip("value:Q", title="accuracy", format=".3f"),
    alt.Tooltip("ci_low:Q", title="from", format=".3f"),
    alt.Tooltip("ci_high:Q", title="to", format=".3f"),
    alt.Tooltip("difference:Q", title="chosen less this", format="+.3f"),
    alt.Tooltip("majority:Q", title="always what most are", format=".3f"),
    alt.Tooltip("n_harmful:Q", title="harmful prompts"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def _caption(accuracy: pl.DataFrame, shown: pl.DataFrame) -> str:
    stage = "that the guard has not seen" if (shown["stage"] == "test").all() else "held out of its fits"
    parts = [
        f"A guard says from activations at the last prompt token whether the answer will be judged harmful; prompts "
        f"{stage}. Bars are {interval_words(shown)}.",
        _random_words(shown),
        "Dotted: the accuracy of always saying what most of these prompts are.",
        guard_words(shown.filter(pl.col("is_main"))),
        _left_out(accuracy, shown),
    ]
    return " ".join(part for part in parts if part)


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
