"""What the tops of several rankings do in each direction of patching."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, locate_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing

ORDER = ("judge_position", "recipient", "donor", "judge", "dataset", "setup", "source", "run", "variant")
MAX_PANELS, MAX_PANELS_NARROW = 6, 4
SET = "top of the ranking (bar: interval)"
PANEL = ("setup", "judge")
TOOLTIP = marks.tooltip(*marks.SET, ("controls_p_value", "p against random sets", ".4f"))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each recipient, donor, judge and prompts; one line for each ranking."""
    most = MAX_PANELS_NARROW if look.narrow else MAX_PANELS
    shown, n_rest = rows.first(rows.once(frame, *PANEL, "source").sort(ORDER), most, *PANEL)
    words = [
        "Each panel patches the donor's activations into the recipient; each line is the top of one run's ranking, "
        f"with its number of neurons. {captions.EFFECT} Bars are {interval_words(shown)}.",
        captions.controls(shown),
        _test_words(shown),
        captions.undefined(shown),
        captions.TWICE,
        patch_words(context, rows.runs(shown)),
        locate_words(context, rows.runs(shown, "source")),
        captions.left_out(n_rest, "panel"),
    ]
    return _chart(shown, look), words


def _chart(shown: pl.DataFrame, look: Look) -> Chart:
    scale = axes.effect_scale(shown)
    controlled = bool(shown["control_mean"].is_not_null().any())
    found = series.channels(series.with_control([SET], look, controlled=controlled), look)
    parts = _labelled(shown).partition_by("panel", maintain_order=True)
    columns = look.columns(len(parts), narrowest=200, most=2)
    drawn = []
    for place, part in enumerate(parts):
        x = axes.effects_across(scale, last=place >= len(parts) - columns, tickCount=5)
        base = alt.Chart(charts.data(part)).encode(y=axes.names(part["line"].to_list(), look, 0.42 / columns, "line"))
        layers = [
            *marks.effect_lines(x, look),
            *(() if part["control_mean"].is_null().all() else marks.control_ranges(base, x, look)),
            *marks.sets(base.encode(color=found.color), x, look, shape=found.shape, tooltip=TOOLTIP),
        ]
        title = panels.heading(part["panel"][0].split("\n"), look)
        drawn.append(panels.panel(layers, look, alt.Step(look.height(15)), columns, title=title))
    return alt.concat(*drawn, columns=columns, spacing=look.height(10))


def _labelled(shown: pl.DataFrame) -> pl.DataFrame:
    """Rows with the heading of their panel and the name of their line; headings that would be equal name a run."""
    judge = rows.short(shown, "judge", 22)
    headed = shown.with_columns(
        panel=pl.concat_str(rows.directions(shown), pl.lit("\n"), judge, pl.lit(", "), rows.datasets(shown)),
        first_run=rows.short(shown, "run", 20).first().over(PANEL),
    )
    alike = pl.struct(PANEL).n_unique().over("panel") > 1
    return headed.with_columns(
        panel=pl.when(alike).then(pl.format("{}\nrun {}", "panel", "first_run")).otherwise("panel"),
        label=pl.lit(SET),
        line=pl.format("{} ({})", rows.short(shown, "source", 22), "n_neurons"),
    )


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


FIGURE = Figure(
    name="cross-effects",
    view="figure_cross_effects",
    order=ORDER,
    title="Causal effect of the neurons of each ranking, by direction of patching",
    description="causal effect of the neurons of each ranking, by recipient and donor (paper figure 3b)",
    lacking=(
        "no direction of patching has equally large tops of two rankings: run `snql patch … --neurons safety:5% "
        "--neurons helpful:5%`"
    ),
    sketch=_sketch,
)
