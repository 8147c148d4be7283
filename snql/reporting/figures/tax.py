"""What patching does to the mean scores themselves, judge by judge."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, interval_words, patch_words
from snql.reporting.kit import axes, captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import count, listing, short_labels

MAX_ROWS, MAX_ROWS_NARROW = 18, 8
CONTROL = "random sets"
MEANS = {
    "donor": ("mean_donor", 50),
    "recipient": ("mean_recipient", 31),
    CONTROL: ("controls_mean", 24),
    "patched": ("mean_patched", 17),
}
"""Column and size of each mark, drawn in this order, so that none hides another."""
TOOLTIP = marks.tooltip(
    "run",
    "variant",
    "dataset",
    "judge",
    "mean_recipient",
    "mean_patched",
    "mean_donor",
    "change",
    ("controls_mean", "mean of random sets", ".3f"),
    ("controls_permutation_p_value", "p against random sets", ".4f"),
    "n_prompts",
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One panel for each judge, one line for each run, set and data set."""
    window = pl.col("is_window").fill_null(False)
    keys = ["run", "variant", "dataset"]
    places = frame.sort(window, *keys).select(keys).unique(maintain_order=True)
    shown = frame.join(rows.main(places, MAX_ROWS_NARROW if look.narrow else MAX_ROWS), on=keys, how="semi")
    words = [
        f"{captions.MAIN_SET} Scores are "
        "in the judge's own units, so compare them within a panel only; a cost is better low, a reward better "
        f"high. The bar is the change from the recipient with {interval_words(shown)}.",
        "Runs without a donor have no donor mark, and no effect." if shown["mean_donor"].is_null().any() else "",
        _test_words(shown),
        patch_words(context, rows.runs(shown)),
        captions.left_out(frame.height - shown.height, "row"),
    ]
    labelled = _labelled(shown, look)
    judges = short_labels(shown.sort("judge_position", "judge")["judge"].unique(maintain_order=True), 40)
    found = _models(shown, look)
    drawn = [_panel(labelled.filter(pl.col("judge") == judge), name, found, look) for judge, name in judges.items()]
    return alt.vconcat(*drawn, spacing=look.height(10)), words


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    several = shown.group_by("run").agg(pl.col("variant").n_unique())["variant"].max() != 1
    mode = pl.when("frozen").then(pl.lit(", frozen")).when(pl.col("mode") != "donor").then(pl.format(", {}", "mode"))
    where = pl.format("{}{} (n = {})", rows.short(shown, "dataset", 20), mode.otherwise(pl.lit("")), "n_prompts")
    sets = [rows.short(shown, "variant", 24)] if several else []
    return shown.with_columns(
        place=pl.concat_str(rows.short(shown, "run", 24), *sets, where, separator="\n" if look.narrow else " · "),
        patched_low=pl.col("mean_recipient") + pl.col("change_ci_low"),
        patched_high=pl.col("mean_recipient") + pl.col("change_ci_high"),
    ).sort(pl.col("is_window").fill_null(False), "run", "variant", pl.col("dataset") == "*", "dataset")


def _models(shown: pl.DataFrame, look: Look) -> series.Channels:
    """Marks of the three models, and of the mean of random sets where there are any."""
    controlled = bool(shown["n_controls"].is_not_null().any())
    drawn = {
        "recipient": Mark(look.theme.ink, "circle"),
        "patched": Mark(look.theme.colours[1], "diamond"),
        "donor": Mark(look.theme.colours[0], "square"),
    } | ({CONTROL: Mark(look.theme.control, "cross")} if controlled else {})
    return series.channels(drawn, look, "role")


def _panel(of_judge: pl.DataFrame, judge: str, found: series.Channels, look: Look) -> Chart:
    y = axes.tall_names(of_judge["place"].unique(maintain_order=True).to_list(), look, 0.5)
    axis = plain(title=f"mean score by {judge}", labelOverlap="greedy", tickCount=6)
    x = axes.x(scale=plain(zero=False, nice=True, padding=look.height(5)), axis=axis)
    base = alt.Chart(charts.data(of_judge)).encode(y=y)
    span = base.transform_filter("isValid(datum.mean_donor)")
    means = [
        (charts.data(of_judge.with_columns(role=pl.lit(role), mean=pl.col(column)).drop_nulls("mean")), size)
        for role, (column, size) in MEANS.items()
    ]
    layers = [
        marks.bars(span, x, ("mean_recipient", "mean_donor"), look, 1, color=look.theme.line),
        marks.bars(base, x, ("patched_low", "patched_high"), look, 1.8, color=look.theme.colours[1]),
        *(
            marks.points(alt.Chart(data), x, "mean", look, size, y=y, tooltip=TOOLTIP, **found.marks)
            for data, size in means
        ),
    ]
    return panels.panel(layers, look, alt.Step(look.height(31 if look.narrow else 15)))


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


FIGURE = Figure(
    name="tax",
    view="figure_tax",
    order=("run", "series", "variant", "judge_position", "judge", "dataset"),
    title="Mean scores of recipient, patched model and donor",
    description="mean score of recipient, patched model and donor (if any) on each data set, by every judge",
    lacking="no finished patch run was judged: run `snql patch … --judge …`",
    sketch=_sketch,
)
