"""What the tops of several rankings do in each direction of patching."""

from functools import partial

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, locate_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.figures.effect_size import limits, undefined_words
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import count, listing, short_labels

NAME = "cross-effects"
VIEW = "figure_cross_effects"
ORDER = ("judge_position", "recipient", "donor", "judge", "dataset", "setup", "source", "run", "variant")
DESCRIPTION = "causal effect of the neurons of each ranking, by recipient and donor (paper figure 3b)"
LACKING = (
    "no direction of patching has equally large tops of two rankings: run `snql patch` with several --neurons, such as "
    "--neurons safety:5% --neurons helpful:5%"
)
TITLE = "Causal effect of the neurons of each ranking, by direction of patching"
MAX_PANELS, MAX_PANELS_NARROW = 6, 4
SET = "top of the ranking (bar: interval)"
_PANEL = ("setup", "judge")


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One panel for each recipient, donor, judge and prompts; one line for each ranking."""
    rows = sourced.once(frame, *_PANEL, "source").sort(ORDER)
    panels = rows.select(_PANEL).unique(maintain_order=True)
    shown = rows.join(
        panels.head(MAX_PANELS_NARROW if look.narrow else MAX_PANELS), on=_PANEL, how="semi", maintain_order="left"
    )
    return Drawing(_chart(shown, look), TITLE, _caption(shown, panels.height, context))


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    labelled = _labelled(shown)
    controlled = bool(shown["control_mean"].is_not_null().any())
    scale = alt.Scale(domain=limits(sourced.with_controls(shown)), nice=False, zero=False)
    color, shape = sourced.channels([SET], controlled, look)
    parts = labelled.partition_by("panel", maintain_order=True)
    columns = look.columns(len(parts), narrowest=200, most=2)
    panels = [
        _panel(
            rows, partial(alt.X, scale=scale, axis=_axis(place >= len(parts) - columns)), color, shape, look, columns
        )
        for place, rows in enumerate(parts)
    ]
    return charts.finish(alt.concat(*panels, columns=columns, spacing=look.height(10)), look, TITLE)


def _labelled(shown: pl.DataFrame) -> pl.DataFrame:
    """Rows with the heading of their panel and the name of their line; headings that would be equal name a run."""
    judges = short_labels(shown["judge"].unique().sort(), 22)
    sources = short_labels(shown["source"].unique().sort(), 22)
    runs = short_labels(shown["run"].unique().sort(), 20)
    headed = shown.with_columns(
        panel=pl.concat_str(
            sourced.directions(shown),
            pl.lit("\n"),
            pl.col("judge").replace_strict(judges, return_dtype=pl.String),
            pl.lit(", "),
            sourced.places(shown),
        ),
        first_run=pl.col("run").replace_strict(runs, return_dtype=pl.String).first().over(_PANEL),
    )
    alike = pl.struct(_PANEL).n_unique().over("panel") > 1
    return headed.with_columns(
        panel=pl.when(alike).then(pl.concat_str("panel", pl.lit("\nrun "), "first_run")).otherwise("panel"),
        label=pl.lit(SET),
        line=pl.concat_str(
            pl.col("source").replace_strict(sources, return_dtype=pl.String),
            pl.lit(" ("),
            pl.col("n_neurons").cast(pl.String),
            pl.lit(")"),
        ),
    )


def _axis(last: bool) -> alt.Axis:
    """The axis of effects, with numbers on the last panel of a column only: all panels have one scale."""
    return alt.Axis(title="causal effect" if last else None, labels=last, ticks=last, tickCount=5)


def _panel(
    rows: pl.DataFrame, x: "partial[alt.X]", color: alt.Color, shape: alt.Shape, look: Look, columns: int
) -> Chart:
    y = alt.Y("line:N", sort=rows["line"].to_list(), axis=charts.labels_in_lines(look, 0.42 / columns))
    base = alt.Chart(charts.data(rows)).encode(y=y)
    layers = [*sourced.references(x, "x", look), *_controls(rows, base, x, look), *_sets(base, x, color, shape, look)]
    heading = alt.Title(rows["panel"][0].split("\n"), fontSize=look.size(1.1), offset=look.height(4), frame="group")
    panel: Chart = alt.layer(*layers).properties(
        width=look.panel_width(columns), height=alt.Step(look.height(15)), title=heading
    )
    return panel


def _controls(rows: pl.DataFrame, base: alt.Chart, x: "partial[alt.X]", look: Look) -> list[alt.Chart]:
    if rows["control_mean"].is_null().all():
        return []
    span = base.mark_rule(strokeWidth=look.height(4.5), opacity=0.35, color=look.theme.control, clip=True)
    mean = base.mark_point(size=look.area(14), filled=True, opacity=1)
    return [
        span.encode(x=x("control_min:Q"), x2="control_max:Q"),
        mean.encode(x=x("control_mean:Q"), color=alt.datum(sourced.CONTROL), shape=alt.datum(sourced.CONTROL)),
    ]


def _sets(base: alt.Chart, x: "partial[alt.X]", color: alt.Color, shape: alt.Shape, look: Look) -> list[alt.Chart]:
    undefined = base.transform_filter("!isValid(datum.effect)").mark_text(
        text="undefined", align="left", fontSize=look.size(), color=look.theme.muted
    )
    bars = base.mark_rule(strokeWidth=look.stroke(1.1), clip=True)
    points = base.mark_point(size=look.area(30), filled=True, opacity=1)
    return [
        undefined.encode(x=alt.value(look.height(14))),
        bars.encode(x=x("ci_low:Q"), x2="ci_high:Q", color=color),
        points.encode(x=x("effect:Q"), color=color, shape=shape, tooltip=[*sourced.TOOLTIP, _P_VALUE]),
    ]


_P_VALUE = alt.Tooltip("controls_p_value:Q", title="p against random sets", format=".4f")


def _caption(shown: pl.DataFrame, n_panels: int, context: Context) -> str:
    parts = [
        "Each panel patches the donor's activations into the recipient; each line is the top of one run's ranking, "
        "with its number of neurons. Effect 1: the set carries the whole difference between donor and recipient; 0: "
        f"none of it. Bars are {interval_words(shown)}.",
        sourced.control_words(shown),
        _test_words(shown),
        undefined_words(shown),
        sourced.TWICE,
        patch_words(context, shown["run"].unique().sort().to_list()),
        locate_words(context, shown["source"].unique().sort().to_list()),
        sourced.left_out(n_panels - shown.select(_PANEL).n_unique(), "panel"),
    ]
    return " ".join(part for part in parts if part)


def _test_words(shown: pl.DataFrame) -> str:
    """Which sets do not differ from their random sets by the test that is stored with them."""
    tested = shown.filter(pl.col("controls_p_value").is_not_null())
    if tested.is_empty():
        return ""
    same = tested.filter(pl.col("controls_p_value") >= 0.05)
    words = (
        f"Of {count(tested.height, 'set')} compared with their random sets over prompts (sign flips, two-sided, not "
        f"corrected for their number), {same.height} do not differ at p < 0.05"
    )
    pairs = same.select("source", "judge").unique(maintain_order=True).rows()
    names = listing([f"{source} ({judge})" for source, judge in pairs])
    return f"{words}: {names}." if same.height else f"{words}."
