"""What answers cost with a guard and without, of the model before and the one after."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, judge_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing, short_labels

NAME = "guard-costs"
VIEW = "guard_costs"
ORDER = ("run", "dataset", "model", "guarded_by")
DESCRIPTION = "mean cost of accepted answers and refusals, with and without guard (paper figure 4)"
LACKING = "no costs under a guard were measured: run `snql guard test` with --costs"
TITLE = "Mean cost of accepted answers, with and without guard"
MAX_RUNS = 6
GUARDS = {"none": "no guard", "before": "guard reads the model before", "after": "guard reads the model after"}


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:  # noqa: ARG001 - what all figures are given
    """One panel for each run of costs, one of refusals below; rows are models and data sets."""
    runs = frame["run"].unique().sort().to_list()[:MAX_RUNS]
    shown = frame.filter(pl.col("run").is_in(runs))
    if shown.select("run", "dataset").n_unique() > MAX_RUNS:
        shown = shown.filter((pl.col("dataset") == "*") | (pl.col("dataset").n_unique().over("run") == 1))
    labelled = _labelled(shown, look)
    panels = [
        _panel(labelled, "mean_cost", ("ci_low", "ci_high"), "mean cost of accepted answers", look),
        _panel(
            labelled,
            "refusal_rate",
            ("refusal_rate_ci_low", "refusal_rate_ci_high"),
            "prompts refused by guard or model",
            look,
        ),
    ]
    chart = charts.finish(alt.vconcat(*panels, spacing=look.height(10)), look, TITLE)
    return Drawing(chart, TITLE, _caption(frame, shown))


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    runs = short_labels(shown["run"].unique().sort(), 20)
    datasets = short_labels(shown["dataset"].unique().sort(), 22) | {"*": "all data sets"}
    between = "\n" if look.narrow else " · "
    return shown.with_columns(
        place=pl.concat_str(
            pl.col("run").replace_strict(runs, return_dtype=pl.String),
            pl.lit(between),
            pl.col("model"),
            pl.lit(between),
            pl.col("dataset").replace_strict(datasets, return_dtype=pl.String),
            pl.format(" (n = {})", pl.col("n_prompts")),
        ),
        label=pl.col("guarded_by").replace_strict(GUARDS, return_dtype=pl.String),
    ).sort("run", pl.col("model") == "after", pl.col("dataset") == "*", "dataset", "guarded_by")


def _panel(rows: pl.DataFrame, value: str, ends: tuple[str, str], title: str, look: Look) -> Chart:
    places = rows["place"].unique(maintain_order=True).to_list()
    names = charts.labels_in_lines(look, 0.5, 1 + max(place.count("\n") for place in places))
    y = alt.Y("place:N", sort=places, title=None, axis=names)
    shift = alt.YOffset("label:N", sort=list(GUARDS.values()))
    axis = alt.Axis(title=title, labelOverlap="greedy", tickCount=6)
    scale = alt.Scale(zero=value != "mean_cost", nice=True, padding=look.height(5))
    labels = [label for label in GUARDS.values() if label in rows["label"]]
    marks = dict(zip(GUARDS.values(), (look.theme.control, *look.theme.colours[:2]), strict=True))
    shapes = dict(zip(GUARDS.values(), ("circle", "diamond", "square"), strict=True))
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(labels, look))
    color = alt.Color("label:N", scale=alt.Scale(domain=labels, range=[marks[each] for each in labels]), legend=legend)
    shape = alt.Shape("label:N", scale=alt.Scale(domain=labels, range=[shapes[each] for each in labels]), legend=legend)
    base = alt.Chart(charts.data(rows)).encode(y=y, yOffset=shift, color=color)
    bars = base.mark_rule(strokeWidth=look.stroke(1.2)).encode(
        x=alt.X(f"{ends[0]}:Q", scale=scale, axis=axis), x2=f"{ends[1]}:Q"
    )
    points = base.mark_point(filled=True, opacity=1, size=look.area(26)).encode(
        x=alt.X(f"{value}:Q", scale=scale, axis=axis), shape=shape, tooltip=_TOOLTIP
    )
    step = look.height(34 if look.narrow else 26)
    panel: Chart = alt.layer(bars, points).properties(
        width=look.panel_width(), height=alt.Step(step, **{"for": "position"})
    )
    return panel


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("model_spec:N", title="model"),
    alt.Tooltip("label:N", title="guard"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("mean_cost:Q", title="mean cost", format=".3f"),
    alt.Tooltip("change:Q", format="+.3f"),
    alt.Tooltip("guard_rate:Q", title="refused by guard", format=".3f"),
    alt.Tooltip("refusal_rate:Q", title="refused", format=".3f"),
    alt.Tooltip("n_accepted:Q", title="accepted"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def _model_words(shown: pl.DataFrame) -> str:
    models = shown.select("run", "model", "model_spec").unique().sort("run", "model", descending=[False, True])
    groups: dict[str, list[str]] = {}
    for (run,), rows in models.group_by("run", maintain_order=True):
        words = listing([f"{spec or 'unknown'} {model}" for _, model, spec in rows.iter_rows()])
        groups.setdefault(words, []).append(str(run))
    return " ".join(f"{listing(runs)}: {words}." for words, runs in groups.items())


def _caption(frame: pl.DataFrame, shown: pl.DataFrame) -> str:
    none = shown.filter(pl.col("mean_cost").is_null()).height
    parts = [
        "Above: the mean score of the answers that are given, in the judge's units; below: the share of prompts that "
        "the guard refuses or the model itself (by phrases of refusals, which is crude). Bars are "
        f"{interval_words(shown)}.",
        "A guard that refused at random would leave the mean cost as it is. It was trained on the model before; where "
        "it reads the model after, it reads that model's own activations.",
        judge_words(shown),
        _model_words(shown),
        f"In {count(none, 'row')} no answer was accepted, so none has a cost." if none else "",
    ]
    if shown.height < frame.height:
        parts.append(f"{count(frame.height - shown.height, 'more row')} not drawn (see the CSV file).")
    return " ".join(part for part in parts if part)
