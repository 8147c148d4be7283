"""Whether the effect of a neuron set holds on other data sets."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words, patch_words
from snql.reporting.figures.effect_size import limits, undefined_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, short_labels

NAME = "transfer"
VIEW = "figure_transfer"
ORDER = ("run", "series", "variant", "dataset")
DESCRIPTION = "causal effect of each run's main neuron set on each data set, with the range of random sets"
LACKING = "no finished patch run has more than one data set: run `snql patch` with several --prompts"
TITLE = "Causal effect on each data set"
MAX_RUNS = 8
UNDEFINED_AT = 14
CONTROL = "random sets (mean and range)"


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run, one line for each data set."""
    runs = frame["run"].unique().sort().to_list()
    shown = frame.filter(pl.col("run").is_in(runs[:MAX_RUNS]))
    return Drawing(_chart(shown, look), TITLE, _caption(shown, runs, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    labelled = _labelled(shown, look)
    controlled = bool(shown["control_mean"].is_not_null().any())
    labels = labelled["label"].unique().sort().to_list()
    color, shape = _channels(labels, controlled, look)
    scale = alt.Scale(domain=limits(with_controls(shown)), nice=False, zero=False)
    runs = short_labels(labelled["run"].unique().sort(), 40)
    panels = []
    for place, (run, name) in enumerate(runs.items(), start=1):
        rows = labelled.filter(pl.col("run") == run)
        last = place == len(runs)
        axis = alt.Axis(title="causal effect" if last else None, labels=last, ticks=last)
        x = partial(alt.X, scale=scale, axis=axis)
        layers = [
            *references(x, look),
            *(controls(_base(rows, look), x, look) if controlled else ()),
            *_sets(_base(rows, look, color), x, shape, look),
        ]
        panels.append(
            alt.layer(*layers).properties(
                width=look.panel_width(),
                height=alt.Step(look.height(22 if look.narrow else 16)),
                title=_heading(name, look),
            )
        )
    return charts.finish(alt.vconcat(*panels, spacing=look.height(9)), look, TITLE)


def _heading(name: str, look: Look) -> alt.Title:
    return alt.Title(name, fontSize=look.size(1.1), offset=look.height(4), frame="group")


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    sets = short_labels(shown["variant"].unique().sort(), 34)
    datasets = short_labels(shown["dataset"].unique().sort(), 30) | {"*": "all data sets"}
    return shown.with_columns(
        label=pl.col("variant").replace_strict(sets, return_dtype=pl.String),
        place=pl.col("dataset").replace_strict(datasets, return_dtype=pl.String)
        + pl.format("{}(n = {})", pl.lit("\n" if look.narrow else " "), pl.col("n_prompts")),
    ).sort("run", "label", pl.col("dataset") == "*", "dataset")


def with_controls(shown: pl.DataFrame) -> pl.DataFrame:
    """Effects and ends of intervals that an axis must hold: those of the sets and of their random sets."""
    ranges = [shown.select(effect=column, ci_low=column, ci_high=column) for column in ("control_min", "control_max")]
    return pl.concat([shown.select("effect", "ci_low", "ci_high"), *ranges])


def _channels(labels: list[str], controlled: bool, look: Look) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the sets, and of the random sets where there are any."""
    domain = [*labels, CONTROL] if controlled else labels
    colours = [*charts.cycle(look.theme.colours, len(labels)), look.theme.control][: len(domain)]
    shapes = [*charts.cycle(charts.SHAPES, len(labels)), "diamond"][: len(domain)]
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(domain, look))
    return (
        alt.Color("label:N", scale=alt.Scale(domain=domain, range=colours), legend=legend),
        alt.Shape("label:N", scale=alt.Scale(domain=domain, range=shapes), legend=legend),
    )


def _base(rows: pl.DataFrame, look: Look, color: alt.Color | None = None) -> alt.Chart:
    """The rows of one run by data set, sets of one data set below each other."""
    places = rows.sort(pl.col("dataset") == "*", "dataset")["place"].unique(maintain_order=True).to_list()
    labels = rows["label"].unique().sort().to_list()
    y = alt.Y("place:N", sort=places, title=None, axis=charts.labels_in_lines(look))
    base = alt.Chart(charts.data(rows)).encode(y=y)
    if len(labels) > 1:
        base = base.encode(yOffset=alt.YOffset("label:N", sort=labels))
    return base if color is None else base.encode(color=color)


def references(x: "partial[alt.X]", look: Look) -> list[alt.Chart]:
    """Lines at effects of 0 and 1."""
    return [
        alt.Chart(alt.InlineData(values=[{"at": value}]))
        .mark_rule(color=look.theme.ink, strokeWidth=look.stroke(0.6), strokeDash=dash)
        .encode(x=x("at:Q"))
        for value, dash in ((0, [1, 0]), (1, [4, 3]))
    ]


def controls(base: alt.Chart, x: "partial[alt.X]", look: Look) -> list[alt.Chart]:
    """Range and mean of the random sets of each row."""
    span = base.mark_rule(strokeWidth=look.height(4.5), opacity=0.35, color=look.theme.control, clip=True)
    mean = base.mark_point(size=look.area(14), filled=True, opacity=1)
    return [
        span.encode(x=x("control_min:Q"), x2="control_max:Q"),
        mean.encode(x=x("control_mean:Q"), color=alt.datum(CONTROL), shape=alt.datum(CONTROL)),
    ]


def _sets(base: alt.Chart, x: "partial[alt.X]", shape: alt.Shape, look: Look) -> list[alt.Chart]:
    bars = base.mark_rule(strokeWidth=look.stroke(1.1), clip=True)
    points = base.mark_point(size=look.area(30), filled=True, opacity=1)
    undefined = base.transform_filter("!isValid(datum.effect)").mark_text(
        text="undefined", align="left", fontSize=look.size(), color=look.theme.muted
    )
    return [
        undefined.encode(x=alt.value(look.height(UNDEFINED_AT)), color=alt.value(look.theme.muted)),
        bars.encode(x=x("ci_low:Q"), x2="ci_high:Q"),
        points.encode(x=x("effect:Q"), shape=shape, tooltip=_TOOLTIP),
    ]


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("n_neurons:Q", title="neurons", format=","),
    alt.Tooltip("effect:Q", format=".3f"),
    alt.Tooltip("ci_low:Q", title="from", format=".3f"),
    alt.Tooltip("ci_high:Q", title="to", format=".3f"),
    alt.Tooltip("control_mean:Q", title="mean of random sets", format=".3f"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def _caption(shown: pl.DataFrame, runs: list[str], context: Context) -> str:
    names = shown["run"].unique().sort().to_list()
    parts = [
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect. "
        f"Bars are {interval_words(shown)}.",
        "Grey: range and mean of random sets with as many neurons in each layer."
        if shown["control_mean"].is_not_null().any()
        else "No random sets were patched, so nothing shows what any set of this size would do.",
        judge_words(shown),
        patch_words(context, names),
        undefined_words(shown),
    ]
    if len(runs) > len(names):
        parts.append(f"{count(len(runs) - len(names), 'more run')} not drawn (see the CSV file).")
    return " ".join(part for part in parts if part)
