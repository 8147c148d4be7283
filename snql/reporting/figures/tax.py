"""What patching does to the mean scores themselves, judge by judge."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.reporting.text import count, short_labels

NAME = "tax"
VIEW = "figure_tax"
ORDER = ("run", "series", "judge_position", "judge", "dataset")
DESCRIPTION = "mean score of recipient, patched model and donor on each data set, by every judge"
LACKING = "no finished patch run was judged: run `snql patch` with --judge"
TITLE = "Mean scores of recipient, patched model and donor"
MAX_ROWS = 24
ROLES = ("recipient", "patched", "donor")
_SIZES = {"donor": 50, "recipient": 31, "patched": 17}  # drawn in this order, so that none hides another


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each judge, one line for each run, set and data set."""
    places = frame.select("run", "variant", "dataset").unique().sort("run", "variant", "dataset")
    shown = frame.join(places.head(MAX_ROWS), on=["run", "variant", "dataset"], how="semi")
    return Drawing(_chart(shown, look), TITLE, _caption(frame, shown, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    labelled = _labelled(shown, look)
    judges = short_labels(shown.sort("judge_position", "judge")["judge"].unique(maintain_order=True), 40)
    panels = [_panel(labelled.filter(pl.col("judge") == judge), label, look) for judge, label in judges.items()]
    return charts.finish(alt.vconcat(*panels, spacing=look.height(10)), look, TITLE)


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    runs, datasets = (
        short_labels(shown["run"].unique().sort(), 20),
        short_labels(shown["dataset"].unique().sort(), 20),
    )
    sets = short_labels(shown["variant"].unique().sort(), 24)
    datasets["*"] = "all data sets"
    several = shown.group_by("run").agg(pl.col("variant").n_unique())["variant"].max() != 1
    place = [pl.col("run").replace_strict(runs, return_dtype=pl.String), pl.lit("\n" if look.narrow else " · ")]
    if several:
        place += [pl.col("variant").replace_strict(sets, return_dtype=pl.String), pl.lit(" · ")]
    place += [pl.col("dataset").replace_strict(datasets, return_dtype=pl.String)]
    return shown.with_columns(
        place=pl.concat_str([*place, pl.format(" (n = {})", pl.col("n_prompts"))]),
        patched_low=pl.col("mean_recipient") + pl.col("change_ci_low"),
        patched_high=pl.col("mean_recipient") + pl.col("change_ci_high"),
    ).sort("run", "variant", pl.col("dataset") == "*", "dataset")


def _panel(rows: pl.DataFrame, judge: str, look: Look) -> Chart:
    places = rows["place"].unique(maintain_order=True).to_list()
    y = alt.Y("place:N", sort=places, title=None, axis=charts.labels_in_lines(look, 0.5))
    axis = alt.Axis(title=f"mean score by {judge}", labelOverlap="greedy", tickCount=6)
    x = partial(alt.X, scale=alt.Scale(zero=False, nice=True, padding=look.height(5)), axis=axis)
    base = alt.Chart(charts.data(rows)).encode(y=y)
    span = base.mark_rule(color=look.theme.line, strokeWidth=look.stroke(1))
    bars = base.mark_rule(color=look.theme.colours[1], strokeWidth=look.stroke(1.8))
    color, shape = _channels(look)
    means = [
        alt.Chart(charts.data(rows.with_columns(role=pl.lit(role), mean=pl.col(f"mean_{role}"))))
        .mark_point(filled=True, opacity=1, size=look.area(size))
        .encode(y=y, x=x("mean:Q"), color=color, shape=shape, tooltip=_TOOLTIP)
        for role, size in _SIZES.items()
    ]
    layers = [
        span.encode(x=x("mean_recipient:Q"), x2="mean_donor:Q"),
        bars.encode(x=x("patched_low:Q"), x2="patched_high:Q"),
        *means,
    ]
    panel: Chart = alt.layer(*layers).properties(
        width=look.panel_width(), height=alt.Step(look.height(22 if look.narrow else 15))
    )
    return panel


def _channels(look: Look) -> tuple[alt.Color, alt.Shape]:
    """Colour and shape of the three models."""
    legend = alt.Legend(title=None, orient="bottom", direction="horizontal")
    colours = [look.theme.ink, look.theme.colours[1], look.theme.colours[0]]
    return (
        alt.Color("role:N", scale=alt.Scale(domain=list(ROLES), range=colours), legend=legend),
        alt.Shape("role:N", scale=alt.Scale(domain=list(ROLES), range=["circle", "diamond", "square"]), legend=legend),
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
    alt.Tooltip("n_prompts:Q", title="prompts"),
]


def _caption(frame: pl.DataFrame, shown: pl.DataFrame, context: Context) -> str:
    parts = [
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect. Scores are "
        "in the judge's own units, so compare them within a panel only; a cost is better low, a reward better "
        f"high. The bar is the change from the recipient with {interval_words(shown)}.",
        patch_words(context, shown["run"].unique().sort().to_list()),
    ]
    if shown.height < frame.height:
        parts.append(f"{count(frame.height - shown.height, 'more row')} not drawn (see the CSV file).")
    return " ".join(parts)
