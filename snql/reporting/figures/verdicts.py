"""Which prompts patching fixes, keeps and breaks."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, judge_words, patch_words
from snql.reporting.figures import sourced
from snql.reporting.look import Look
from snql.reporting.model import Chart, Drawing
from snql.writing.words import listing, short_labels

NAME = "verdicts"
VIEW = "figure_verdicts"
ORDER = ("run", "series", "variant", "dataset")
DESCRIPTION = "flow of verdicts from recipient to patched model: prompts fixed, kept and broken"
LACKING = "no finished patch run was judged: run `snql patch` with --judge"
TITLE = "Prompts that patching fixes, keeps and breaks"
MAX_ROWS, MAX_ROWS_NARROW = 20, 8
FLOWS = {"kept bad": "n_kept_bad", "fixed": "n_fixed", "kept good": "n_kept_good", "broken": "n_broken"}
"""In the order of a bar: those bad before patching are its first two parts, those good after it the middle two."""


def draw(frame: pl.DataFrame, context: Context, look: Look) -> Drawing:
    """One bar for each run, main set and data set, and beside it the share of bad prompts that were fixed."""
    window = pl.col("is_window").fill_null(False)
    rows = frame.sort(window, "run", "series", "variant", pl.col("dataset") == "*", "dataset", maintain_order=True)
    most = MAX_ROWS_NARROW if look.narrow else MAX_ROWS
    if rows.height > most:
        rows = rows.filter((pl.col("dataset") == "*") | (pl.col("dataset").n_unique().over("run") == 1))
    shown = sourced.fairly(rows, most)
    return Drawing(_chart(_labelled(shown, look), look), TITLE, _caption(frame, shown, context))


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    runs, sets, datasets = (
        short_labels(shown[name].unique().sort(), length)
        for name, length in (("run", 22), ("variant", 22), ("dataset", 22))
    )
    datasets["*"] = "all data sets"
    named = [
        pl.col(name).replace_strict(labels, return_dtype=pl.String)
        for name, labels in (("run", runs), ("variant", sets), ("dataset", datasets))
    ]
    size = pl.concat_str(pl.lit(" (n = "), pl.col("n_prompts").cast(pl.String), pl.lit(")"))
    return shown.with_columns(
        place=pl.concat_str(named[0], pl.lit("\n" if look.narrow else " · "), named[1], pl.lit("\n"), named[2], size),
        bad=pl.col("n_fixed") + pl.col("n_kept_bad"),
    )


def _chart(rows: pl.DataFrame, look: Look) -> Chart:
    places = rows["place"].unique(maintain_order=True).to_list()
    height = alt.Step(look.height(31 if look.narrow else 24))
    bars = alt.layer(*_bars(rows, places, look)).properties(
        width=look.panel_width() * (1 if look.narrow else 0.7), height=height
    )
    axis = _names(look) if look.narrow else None
    fixed = alt.layer(*_fixed(rows, alt.Y("place:N", sort=places, axis=axis), look)).properties(
        width=look.panel_width() * (1 if look.narrow else 0.3), height=height
    )
    join = alt.vconcat if look.narrow else alt.hconcat
    return charts.finish(join(bars, fixed, spacing=look.height(10)), look, TITLE)


def _bars(rows: pl.DataFrame, places: list[str], look: Look) -> list[alt.Chart]:
    parts = _parts(rows)
    y = alt.Y("place:N", sort=places, axis=_names(look))
    x = alt.X(
        "low:Q", title="share of the prompts", scale=alt.Scale(domain=(0, 1)), axis=alt.Axis(format="%", tickCount=5)
    )
    fills = _fills(look)
    color = alt.Color(
        "flow:N",
        scale=alt.Scale(domain=list(FLOWS), range=list(fills.values())),
        legend=alt.Legend(
            title=None, orient="bottom", symbolType="square", columns=charts.legend_columns(list(FLOWS), look)
        ),
    )
    base = alt.Chart(charts.data(parts)).encode(y=y)
    bar = base.mark_bar(stroke=look.theme.paper, strokeWidth=look.stroke(1), height=look.height(15))
    room = look.panel_width() * (1 if look.narrow else 0.7)
    texts = [_numbers(base.transform_filter(alt.datum.flow == flow), fill, room, look) for flow, fill in fills.items()]
    return [bar.encode(x=x, x2="high:Q", color=color, tooltip=_TOOLTIP), *texts]


def _numbers(base: alt.Chart, fill: str, room: float, look: Look) -> alt.Chart:
    """The number of prompts in each part of a bar, after its name where both fit: names need no colour."""
    wide = f"(datum.high - datum.low) * {room:.2f} > {look.size() * 0.58:.2f} * length(datum.{{}}) + {look.height(3)}"
    text = f"{wide.format('named')} ? datum.named : {wide.format('plain')} ? datum.plain : ''"
    marks: alt.Chart = base.transform_calculate(plain="'' + datum.n", named="datum.flow + ' ' + datum.n")
    marks = marks.transform_calculate(text=text)
    marks = marks.mark_text(fontSize=look.size(), color=_readable(fill, look))
    return marks.encode(x=alt.X("middle:Q", title="share of the prompts"), text="text:N")


def _names(look: Look) -> alt.Axis:
    return charts.labels_in_lines(look, *((0.5, 3) if look.narrow else (0.36, 2)))


def _parts(rows: pl.DataFrame) -> pl.DataFrame:
    """One row for each part of a bar that is not empty, from ``low`` to ``high``."""
    counts = [pl.col(column).cast(pl.Int64) for column in FLOWS.values()]
    pieces = []
    for place, flow in enumerate(FLOWS):
        before = pl.sum_horizontal(counts[:place]) if place else pl.lit(0)
        piece = rows.with_columns(
            flow=pl.lit(flow), n=counts[place], low=before / pl.col("n_prompts"), part=pl.lit(place)
        ).with_columns(high=pl.col("low") + pl.col("n") / pl.col("n_prompts"))
        pieces.append(piece.with_columns(middle=(pl.col("low") + pl.col("high")) / 2).filter(pl.col("n") > 0))
    return pl.concat(pieces)


def _fills(look: Look) -> dict[str, str]:
    """Colours whose lightness differs too: parts of a bar that touch are told apart in a greyscale print."""
    theme = look.theme
    return {"kept bad": theme.control, "fixed": theme.colours[0], "kept good": theme.empty, "broken": theme.colours[1]}


def _readable(fill: str, look: Look) -> str:
    """Ink or paper, whichever stands out more from a fill."""
    candidates = (look.theme.ink, look.theme.paper)
    return max(candidates, key=lambda colour: _contrast(colour, fill))


def _contrast(one: str, other: str) -> float:
    """Contrast of two colours by WCAG 2: from 1 to 21."""
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    channels = [int(colour[start : start + 2], 16) / 255 for start in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _fixed(rows: pl.DataFrame, y: alt.Y, look: Look) -> list[alt.Chart]:
    title = ["fixed, of the prompts bad before"] if look.narrow else ["fixed, of the", "prompts bad before"]
    axis = alt.Axis(format="%", tickCount=3)
    x = alt.X("fixed:Q", title=title, scale=alt.Scale(domain=(-0.03, 1.03), nice=False), axis=axis)
    base = alt.Chart(charts.data(rows)).encode(y=y)
    none = base.transform_filter("datum.bad == 0").mark_text(
        text="none was bad", align="left", fontSize=look.size(), color=look.theme.muted
    )
    bars = base.mark_rule(strokeWidth=look.stroke(1.1), color=look.theme.ink)
    points = base.mark_point(filled=True, opacity=1, size=look.area(26), color=look.theme.ink)
    return [
        none.encode(x=alt.value(look.height(4))),
        bars.encode(x=alt.X("fixed_ci_low:Q", title=title, axis=axis), x2="fixed_ci_high:Q"),
        points.encode(x=x, tooltip=_TOOLTIP_FIXED),
    ]


_TOOLTIP_FIXED = [
    alt.Tooltip("run:N"),
    alt.Tooltip("variant:N", title="set"),
    alt.Tooltip("dataset:N", title="data set"),
    alt.Tooltip("bad:Q", title="bad before"),
    alt.Tooltip("n_fixed:Q", title="fixed"),
    alt.Tooltip("fixed:Q", title="share fixed", format=".1%"),
    alt.Tooltip("fixed_ci_low:Q", title="from", format=".1%"),
    alt.Tooltip("fixed_ci_high:Q", title="to", format=".1%"),
]
_TOOLTIP = [*_TOOLTIP_FIXED[:3], alt.Tooltip("flow:N", title="verdict"), alt.Tooltip("n:Q", title="prompts")]


def _caption(frame: pl.DataFrame, shown: pl.DataFrame, context: Context) -> str:
    parts = [
        "Numbers in the bars are prompts. The first two parts were bad before patching, the middle two are good after "
        "it. "
        f"{_rule_words(shown)} Points: of the prompts bad before, the share that patching fixes, with 95 % Wilson "
        "intervals, which take prompts for independent.",
        "For each run the set of 5 % of the neurons, or the largest one with a defined effect.",
        _before_words(shown),
        judge_words(shown),
        patch_words(context, shown["run"].unique().sort().to_list()),
        sourced.left_out(frame.height - shown.height, "row"),
    ]
    return " ".join(part for part in parts if part)


def _rule_words(shown: pl.DataFrame) -> str:
    """The rule that makes a prompt bad, for each direction of a judge."""
    limits = shown.select("better", "judge", "at").unique().sort("better", "judge", "at")
    words = []
    for better, side, kind in (("low", "above", "costs"), ("high", "below", "rewards")):
        rows = limits.filter(pl.col("better") == better)
        if rows.height:
            at = listing([f"{value:g}" for value in rows["at"].unique().sort().to_list()])
            words.append(f"{side} {at} by {listing(rows['judge'].unique().sort().to_list())} ({kind})")
    return f"A prompt is bad if its mean score over samples is {', or '.join(words)}."


def _before_words(shown: pl.DataFrame) -> str:
    frozen = shown.filter(pl.col("from_role") == "donor")["run"].unique().sort().to_list()
    return f"In {listing(frozen)} the donor is patched, so before means the donor." if frozen else ""
