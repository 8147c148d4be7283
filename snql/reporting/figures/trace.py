"""At which steps patching changes what is written."""

import altair as alt
import polars as pl

from snql.reporting.context import Context, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import listing

FEW = 10
MAX_PANELS, MAX_PANELS_NARROW = 6, 3
CHANGED = "changed by the patch (band: interval)"
CONTROLS = "changed by random sets"
AGREES = "the donor's own choice"
LINES = {
    CHANGED: ("set", "changed", "changed_ci_low", "changed_ci_high"),
    CONTROLS: ("controls", "changed", None, None),
    AGREES: ("set", "agrees", None, None),
}
"""Of which rows each line is, its column and the ends of its interval; only the changes of the set have one."""
TOOLTIP = marks.tooltip(
    "run", "variant", ("label", "line"), "step", ("share", "", ".1%"), ("n_completions", "completions", ",")
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each run and main set."""
    keys = ["run", "variant"]
    sets = frame.filter(pl.col("kind") == "set").select(keys).unique(maintain_order=True)
    drawn = rows.fairly(sets, MAX_PANELS_NARROW if look.narrow else MAX_PANELS)
    shown = frame.join(drawn, on=keys, how="semi", maintain_order="left")
    few = shown.filter((pl.col("kind") == "set") & (pl.col("n_completions") < FEW))["step"].to_list()
    frozen = rows.runs(shown.filter(pl.col("frozen")))
    words = [
        "At each step of a completion: how often the token that the patched model writes is not what the same model "
        "would write without the patch, and how often it is what the donor would write, on the text written so far. "
        "Band: 95 % Wilson interval, as if completions were independent. n: completions of the set.",
        "A change goes into the text that all models read from then on, so later steps can agree because of the text.",
        f"In {listing(frozen)} the donor is patched, and the recipient is the one whose choice is shown."
        if frozen
        else "",
        f"From step {min(few)} on, some lines rest on fewer than {FEW} completions." if few else "",
        captions.MAIN_SET,
        patch_words(context, rows.runs(shown)),
        captions.left_out(sets.height - drawn.height, "panel"),
    ]
    return _chart(_marked(shown), look), words


def _chart(marked: pl.DataFrame, look: Look) -> Chart:
    colours = (look.theme.colours[0], look.theme.control, look.theme.colours[1])
    dashes = ([1, 0], [2, 2], [6, 2])
    every = {label: Mark(colour, dash=dash) for label, colour, dash in zip(LINES, colours, dashes, strict=True)}
    drawn = {label: mark for label, mark in every.items() if label in marked["label"]}
    found = series.channels(drawn, look, dashes=True, symbolType="stroke", symbolSize=look.area(120))
    title = "share of the completions"
    y = axes.y(title=title, scale=plain(domain=(0, 1)), axis=plain(format="%"))
    x = alt.X("step:Q", title="token of the completion", scale=plain(nice=False))
    base = alt.Chart().encode(x=x)
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.22, color=look.theme.colours[0])
    points = base.mark_point(opacity=0, size=look.area(30))
    layers = [
        band.encode(**axes.y(title=title).span("low", "high")),
        marks.line(base, y, "share", look).encode(color=found.color, strokeDash=found.dash),
        points.encode(**y.at("share"), tooltip=TOOLTIP),
    ]
    columns = panels.in_a_row(marked["panel"].n_unique(), look, narrowest=140)
    return panels.facets(layers, marked, look, columns, look.height(110))


def _marked(shown: pl.DataFrame) -> pl.DataFrame:
    """One row for each line and step."""
    most = pl.col("n_completions").filter(pl.col("kind") == "set").max().over("run", "variant")
    heading = pl.format("{}\n{} (n = {})", rows.short(shown, "run", 24), rows.short(shown, "variant", 24), most)
    headed = shown.with_columns(panel=heading)
    nothing = pl.lit(None, dtype=pl.Float64)
    parts = [
        headed.filter((pl.col("kind") == kind) & pl.col(value).is_not_null()).select(
            "run",
            "variant",
            "panel",
            "step",
            "n_completions",
            label=pl.lit(label),
            share=value,
            low=low or nothing,
            high=high or nothing,
        )
        for label, (kind, value, low, high) in LINES.items()
    ]
    return pl.concat(parts).sort("panel", "label", "step")


FIGURE = Figure(
    name="trace",
    view="figure_trace",
    order=("run", "variant", "kind", "step"),
    title="Tokens that patching changes, step by step",
    description="share of completions whose token the patch changes, or is the donor's, at each step",
    lacking="no finished patch run has traces: run `snql patch`, which traces unless it is told not to",
    sketch=_sketch,
)
