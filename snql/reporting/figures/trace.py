"""At which steps patching changes what is written."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, patch_words
from snql.reporting.figures import sourced
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import listing, short_labels

NAME = "trace"
VIEW = "figure_trace"
ORDER = ("run", "variant", "kind", "step")
DESCRIPTION = "share of completions whose token the patch changes, or is the donor's, at each step"
LACKING = "no finished patch run has traces: run `snql patch` without --no-trace"
TITLE = "Tokens that patching changes, step by step"
FEW = 10
MAX_PANELS, MAX_PANELS_NARROW = 6, 3
CHANGED = "changed by the patch (band: interval)"
CONTROLS = "changed by random sets"
AGREES = "the donor's own choice"
_DASH = {CHANGED: [1, 0], CONTROLS: [2, 2], AGREES: [6, 2]}


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each run and main set."""
    sets = frame.filter(pl.col("kind") == "set").select("run", "variant").unique(maintain_order=True)
    drawn = sourced.fairly(sets, MAX_PANELS_NARROW if look.narrow else MAX_PANELS)
    shown = frame.join(drawn, on=["run", "variant"], how="semi", maintain_order="left")
    return Drawing(_chart(shown, look), TITLE, _caption(shown, sets.height, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    marked = _marks(shown)
    panels = marked["panel"].unique(maintain_order=True).to_list()
    drawn = set(marked["label"])
    labels = [label for label in _DASH if label in drawn]
    colours = {CHANGED: look.theme.colours[0], CONTROLS: look.theme.control, AGREES: look.theme.colours[1]}
    legend = alt.Legend(
        title=None,
        orient="bottom",
        columns=charts.legend_columns(labels, look),
        symbolType="stroke",
        symbolSize=look.area(120),
    )
    color = alt.Color("label:N", scale=alt.Scale(domain=labels, range=[colours[x] for x in labels]), legend=legend)
    dash = alt.StrokeDash("label:N", scale=alt.Scale(domain=labels, range=[_DASH[x] for x in labels]), legend=legend)
    columns = look.columns(len(panels), narrowest=140, most=3 if len(panels) > 4 else 2)
    base = alt.Chart().encode(x=alt.X("step:Q", title="token of the completion", scale=alt.Scale(nice=False)))
    y = alt.Y("share:Q", title="share of the completions", scale=alt.Scale(domain=(0, 1)), axis=alt.Axis(format="%"))
    band = (
        base.transform_filter("isValid(datum.low)")
        .mark_area(opacity=0.22, color=look.theme.colours[0])
        .encode(y=alt.Y("low:Q", title="share of the completions"), y2="high:Q")
    )
    lines = base.mark_line(strokeWidth=look.stroke(1.2)).encode(y=y, color=color, strokeDash=dash)
    points = base.mark_point(opacity=0, size=look.area(30)).encode(y=y, tooltip=_TOOLTIP)
    layered = alt.layer(band, lines, points, data=charts.data(marked))
    layered = layered.properties(width=look.panel_width(columns), height=look.height(110))
    facet = layered.facet(facet=charts.facet(panels), columns=columns).resolve_axis(x="independent")
    return charts.finish(facet, look, TITLE)


def _marks(shown: pl.DataFrame) -> pl.DataFrame:
    """One row for each line and step; only the changes of the set have an interval."""
    runs = short_labels(shown["run"].unique().sort(), 24)
    sets = short_labels(shown["variant"].unique().sort(), 24)
    most = pl.col("n_completions").filter(pl.col("kind") == "set").max().over("run", "variant")
    headed = shown.with_columns(
        panel=pl.concat_str(
            pl.col("run").replace_strict(runs, return_dtype=pl.String),
            pl.lit("\n"),
            pl.col("variant").replace_strict(sets, return_dtype=pl.String),
            pl.lit(" (n = "),
            most.cast(pl.String),
            pl.lit(")"),
        )
    )
    chosen = pl.col("kind") == "set"
    nothing = pl.lit(None, dtype=pl.Float64)
    lines = (
        (chosen, CHANGED, "changed", "changed_ci_low", "changed_ci_high"),
        (~chosen, CONTROLS, "changed", None, None),
        (chosen, AGREES, "agrees", None, None),
    )
    parts = [
        headed.filter(rows & pl.col(value).is_not_null()).select(
            "run", "variant", "panel", "step", "n_completions",
            label=pl.lit(label), share=value, low=low or nothing, high=high or nothing,
        )
        for rows, label, value, low, high in lines
    ]  # fmt: skip
    return pl.concat(parts).sort("panel", "label", "step")


_TOOLTIP = [
    alt.Tooltip("run:N"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("label:N", title="line"),
    alt.Tooltip("step:Q"),
    alt.Tooltip("share:Q", format=".1%"),
    alt.Tooltip("n_completions:Q", title="completions", format=","),
]


def _caption(shown: pl.DataFrame, n_panels: int, context: Context) -> str:
    few = shown.filter((pl.col("kind") == "set") & (pl.col("n_completions") < FEW))["step"].to_list()
    parts = [
        "At each step of a completion: how often the token that the patched model writes is not what the same model "
        "would write without the patch, and how often it is what the donor would write, on the text written so far. "
        "Band: 95 % Wilson interval, as if completions were independent. n: completions of the set.",
        "A change goes into the text that all models read from then on, so later steps can agree because of the text.",
        _frozen_words(shown),
        f"From step {min(few)} on, some lines rest on fewer than {FEW} completions." if few else "",
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect.",
        patch_words(context, shown["run"].unique().sort().to_list()),
        sourced.left_out(n_panels - shown.select("run", "variant").n_unique(), "panel"),
    ]
    return " ".join(part for part in parts if part)


def _frozen_words(shown: pl.DataFrame) -> str:
    frozen = shown.filter(pl.col("frozen"))["run"].unique().sort().to_list()
    return (
        f"In {listing(frozen)} the donor is patched, and the recipient is the one whose choice is shown."
        if frozen
        else ""
    )
