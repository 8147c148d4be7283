"""What patching does to the mean scores themselves, judge by judge."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing, short_labels

NAME = "tax"
VIEW = "figure_tax"
ORDER = ("run", "series", "variant", "judge_position", "judge", "dataset")
DESCRIPTION = "mean score of recipient, patched model and donor (if any) on each data set, by every judge"
LACKING = "no finished patch run was judged: run `snql patch` with --judge"
TITLE = "Mean scores of recipient, patched model and donor"
MAX_ROWS, MAX_ROWS_NARROW = 18, 8
CONTROL = "random sets"
_MEANS = {
    "donor": ("mean_donor", 50),
    "recipient": ("mean_recipient", 31),
    CONTROL: ("controls_mean", 24),
    "patched": ("mean_patched", 17),
}
"""Column and size of each mark, drawn in this order, so that none hides another."""


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each judge, one line for each run, set and data set."""
    window = pl.col("is_window").fill_null(False)
    places = frame.sort(window, "run", "variant", "dataset").select("run", "variant", "dataset")
    places = places.unique(maintain_order=True)
    most = MAX_ROWS_NARROW if look.narrow else MAX_ROWS
    if places.height > most:
        places = places.filter((pl.col("dataset") == "*") | (pl.col("dataset").n_unique().over("run") == 1))
    shown = frame.join(sourced.fairly(places, most), on=["run", "variant", "dataset"], how="semi")
    return Drawing(_chart(shown, look), TITLE, _caption(frame, shown, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    labelled = _labelled(shown, look)
    judges = short_labels(shown.sort("judge_position", "judge")["judge"].unique(maintain_order=True), 40)
    controlled = bool(shown["n_controls"].is_not_null().any())
    panels = [
        _panel(labelled.filter(pl.col("judge") == judge), label, look, controlled) for judge, label in judges.items()
    ]
    return charts.finish(alt.vconcat(*panels, spacing=look.height(10)), look, TITLE)


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    runs, datasets = (
        short_labels(shown["run"].unique().sort(), 24),
        short_labels(shown["dataset"].unique().sort(), 20),
    )
    sets = short_labels(shown["variant"].unique().sort(), 24)
    datasets["*"] = "all data sets"
    several = shown.group_by("run").agg(pl.col("variant").n_unique())["variant"].max() != 1
    between = pl.lit("\n" if look.narrow else " · ")
    place = [pl.col("run").replace_strict(runs, return_dtype=pl.String), between]
    if several:
        place += [pl.col("variant").replace_strict(sets, return_dtype=pl.String), between]
    place += [pl.col("dataset").replace_strict(datasets, return_dtype=pl.String)]
    mode = pl.when("frozen").then(pl.lit(", frozen")).when(pl.col("mode") != "donor").then(pl.format(", {}", "mode"))
    place += [mode.otherwise(pl.lit(""))]
    return shown.with_columns(
        place=pl.concat_str([*place, pl.format(" (n = {})", pl.col("n_prompts"))]),
        patched_low=pl.col("mean_recipient") + pl.col("change_ci_low"),
        patched_high=pl.col("mean_recipient") + pl.col("change_ci_high"),
    ).sort(pl.col("is_window").fill_null(False), "run", "variant", pl.col("dataset") == "*", "dataset")


def _panel(rows: pl.DataFrame, judge: str, look: Look, controlled: bool) -> Chart:
    places = rows["place"].unique(maintain_order=True).to_list()
    names = charts.labels_in_lines(look, 0.5, 1 + max(place.count("\n") for place in places))
    y = alt.Y("place:N", sort=places, title=None, axis=names)
    axis = alt.Axis(title=f"mean score by {judge}", labelOverlap="greedy", tickCount=6)
    x = partial(alt.X, scale=alt.Scale(zero=False, nice=True, padding=look.height(5)), axis=axis)
    base = alt.Chart(charts.data(rows)).encode(y=y)
    span = base.transform_filter("isValid(datum.mean_donor)")
    span = span.mark_rule(color=look.theme.line, strokeWidth=look.stroke(1))
    bars = base.mark_rule(color=look.theme.colours[1], strokeWidth=look.stroke(1.8))
    color, shape = _channels(look, controlled)
    means = [
        alt.Chart(charts.data(rows.with_columns(role=pl.lit(role), mean=pl.col(column)).drop_nulls("mean")))
        .mark_point(filled=True, opacity=1, size=look.area(size))
        .encode(y=y, x=x("mean:Q"), color=color, shape=shape, tooltip=_TOOLTIP)
        for role, (column, size) in _MEANS.items()
    ]
    layers = [
        span.encode(x=x("mean_recipient:Q"), x2="mean_donor:Q"),
        bars.encode(x=x("patched_low:Q"), x2="patched_high:Q"),
        *means,
    ]
    panel: Chart = alt.layer(*layers).properties(
        width=look.panel_width(), height=alt.Step(look.height(31 if look.narrow else 15))
    )
    return panel


def _channels(look: Look, controlled: bool) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the three models, and of the mean of random sets where there are any."""
    marks = {
        "recipient": (look.theme.ink, "circle"),
        "patched": (look.theme.colours[1], "diamond"),
        "donor": (look.theme.colours[0], "square"),
    } | ({CONTROL: (look.theme.control, "cross")} if controlled else {})
    legend = alt.Legend(title=None, orient="bottom", columns=charts.legend_columns(list(marks), look))
    colours, shapes = ([mark[place] for mark in marks.values()] for place in (0, 1))
    return (
        alt.Color("role:N", scale=alt.Scale(domain=list(marks), range=colours), legend=legend),
        alt.Shape("role:N", scale=alt.Scale(domain=list(marks), range=shapes), legend=legend),
    )


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("judge:N"),
    alt.Tooltip("mean_recipient:Q", title="recipient", format=".3f"),
    alt.Tooltip("mean_patched:Q", title="patched", format=".3f"),
    alt.Tooltip("mean_donor:Q", title="donor", format=".3f"),
    alt.Tooltip("change:Q", format="+.3f"),
    alt.Tooltip("controls_mean:Q", title="mean of random sets", format=".3f"),
    alt.Tooltip("controls_permutation_p_value:Q", title="p against random sets", format=".4f"),
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def _caption(frame: pl.DataFrame, shown: pl.DataFrame, context: Context) -> str:
    parts = [
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect. Scores are "
        "in the judge's own units, so compare them within a panel only; a cost is better low, a reward better "
        f"high. The bar is the change from the recipient with {interval_words(shown)}.",
        "Runs without a donor have no donor mark, and no effect." if shown["mean_donor"].is_null().any() else "",
        _test_words(shown),
        patch_words(context, shown["run"].unique().sort().to_list()),
    ]
    if shown.height < frame.height:
        parts.append(f"{count(frame.height - shown.height, 'more row')} not drawn (see the CSV file).")
    return " ".join(part for part in parts if part)


def _test_words(shown: pl.DataFrame) -> str:
    """How sets compare with their random sets over prompts, by the test that is stored with them."""
    tested = shown.filter(pl.col("controls_permutation_p_value").is_not_null())
    if tested.is_empty():
        return ""
    differ = tested.filter(pl.col("controls_permutation_p_value") < 0.05).height
    kinds = listing(tested["controls_kind"].unique().sort(descending=True).to_list())
    return (
        f"Crosses are the mean of the set's random sets ({kinds}). Of {count(tested.height, 'row')} with random sets, "
        f"{differ} differ{'s' if differ == 1 else ''} from them at p < 0.05 (sign flips over prompts, two-sided, not "
        "corrected for their number); the table of controls has each."
    )
