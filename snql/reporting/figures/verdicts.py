"""Which prompts patching fixes, keeps and breaks."""

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, judge_words, patch_words
from snql.reporting.kit import axes, captions, marks, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.kit.series import Mark
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.words import listing

MAX_ROWS, MAX_ROWS_NARROW = 20, 8
FLOWS = {"kept bad": "n_kept_bad", "fixed": "n_fixed", "kept good": "n_kept_good", "broken": "n_broken"}
"""In the order of a bar: those bad before patching are its first two parts, those good after it the middle two."""
TOOLTIP = marks.tooltip("run", "variant", "dataset", ("flow", "verdict"), ("n", "prompts"))
TOOLTIP_FIXED = marks.tooltip(
    "run",
    "variant",
    "dataset",
    ("bad", "bad before"),
    ("n_fixed", "fixed"),
    ("fixed", "share fixed", ".1%"),
    ("fixed_ci_low", "from", ".1%"),
    ("fixed_ci_high", "to", ".1%"),
)


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """One bar for each run, main set and data set, and beside it the share of bad prompts that were fixed."""
    window = pl.col("is_window").fill_null(False)
    every = frame.sort(window, "run", "series", "variant", pl.col("dataset") == "*", "dataset", maintain_order=True)
    shown = rows.main(every, MAX_ROWS_NARROW if look.narrow else MAX_ROWS)
    frozen = rows.runs(shown.filter(pl.col("from_role") == "donor"))
    words = [
        "Numbers in the bars are prompts. The first two parts were bad before patching, the middle two are good after "
        "it. "
        f"{_rule_words(shown)} Points: of the prompts bad before, the share that patching fixes, with 95 % Wilson "
        "intervals, which take prompts for independent.",
        captions.MAIN_SET,
        f"In {listing(frozen)} the donor is patched, so before means the donor." if frozen else "",
        judge_words(shown),
        patch_words(context, rows.runs(shown)),
        captions.left_out(frame.height - shown.height, "row"),
    ]
    return _chart(_labelled(shown, look), look), words


def _labelled(shown: pl.DataFrame, look: Look) -> pl.DataFrame:
    sets = (rows.short(shown, "run", 22), rows.short(shown, "variant", 22))
    named = pl.concat_str(*sets, separator="\n" if look.narrow else " · ")
    return shown.with_columns(
        place=pl.format("{}\n{}", named, rows.datasets(shown)), bad=pl.col("n_fixed") + pl.col("n_kept_bad")
    )


def _chart(labelled: pl.DataFrame, look: Look) -> Chart:
    """Bars with the points beside them, or below them in a narrow chart."""
    places = labelled["place"].unique(maintain_order=True).to_list()
    shares = (1.0, 1.0) if look.narrow else (0.7, 0.3)
    widths = [look.panel_width() * share for share in shares]
    names = axes.name_axis(look, *((0.5, 3) if look.narrow else (0.36, 2)))
    y, bare = (alt.Y("place:N", sort=places, axis=axis) for axis in (names, names if look.narrow else None))
    parts = (_bars(labelled, y, widths[0], look), _fixed(labelled, bare, look))
    height = alt.Step(look.height(31 if look.narrow else 24))
    sized = [alt.layer(*part).properties(width=width, height=height) for part, width in zip(parts, widths, strict=True)]
    join = alt.vconcat if look.narrow else alt.hconcat
    joined: Chart = join(*sized, spacing=look.height(10))
    return joined


def _bars(labelled: pl.DataFrame, y: alt.Y, room: float, look: Look) -> list[alt.Chart]:
    axis = plain(format="%", tickCount=5)
    x = axes.x(title="share of the prompts", scale=plain(domain=(0, 1)), axis=axis)
    fills = _fills(look)
    drawn = {flow: Mark(fill) for flow, fill in fills.items()}
    color = series.channels(drawn, look, "flow", symbolType="square").color
    base = alt.Chart(charts.data(_parts(labelled))).encode(y=y)
    bar = base.mark_bar(stroke=look.theme.paper, strokeWidth=look.stroke(1), height=look.height(15))
    texts = [_numbers(base.transform_filter(alt.datum.flow == flow), fill, room, look) for flow, fill in fills.items()]
    return [bar.encode(**x.span("low", "high"), color=color, tooltip=TOOLTIP), *texts]


def _numbers(base: alt.Chart, fill: str, room: float, look: Look) -> alt.Chart:
    """The number of prompts in each part of a bar, after its name where both fit: names need no colour."""
    wide = f"(datum.high - datum.low) * {room:.2f} > {look.size() * 0.58:.2f} * length(datum.{{}}) + {look.height(3)}"
    text = f"{wide.format('named')} ? datum.named : {wide.format('plain')} ? datum.plain : ''"
    marks: alt.Chart = base.transform_calculate(plain="'' + datum.n", named="datum.flow + ' ' + datum.n")
    marks = marks.transform_calculate(text=text)
    marks = marks.mark_text(fontSize=look.size(), color=look.theme.on(fill))
    return marks.encode(x=alt.X("middle:Q", title="share of the prompts"), text="text:N")


def _parts(labelled: pl.DataFrame) -> pl.DataFrame:
    """One row for each part of a bar that is not empty, from ``low`` to ``high``."""
    counts = [pl.col(column).cast(pl.Int64) for column in FLOWS.values()]
    pieces = []
    for place, flow in enumerate(FLOWS):
        before = pl.sum_horizontal(counts[:place]) if place else pl.lit(0)
        piece = labelled.with_columns(
            flow=pl.lit(flow), n=counts[place], low=before / pl.col("n_prompts"), part=pl.lit(place)
        ).with_columns(high=pl.col("low") + pl.col("n") / pl.col("n_prompts"))
        pieces.append(piece.with_columns(middle=(pl.col("low") + pl.col("high")) / 2).filter(pl.col("n") > 0))
    return pl.concat(pieces)


def _fills(look: Look) -> dict[str, str]:
    """Colours whose lightness differs too: parts of a bar that touch are told apart in a greyscale print."""
    theme = look.theme
    return {"kept bad": theme.control, "fixed": theme.colours[0], "kept good": theme.empty, "broken": theme.colours[1]}


def _fixed(labelled: pl.DataFrame, y: alt.Y, look: Look) -> list[alt.Chart]:
    title = ["fixed, of the prompts bad before"] if look.narrow else ["fixed, of the", "prompts bad before"]
    axis = plain(format="%", tickCount=3)
    x = axes.x(title=title, scale=plain(domain=(-0.03, 1.03), nice=False), axis=axis)
    base = alt.Chart(charts.data(labelled)).encode(y=y)
    ends = ("fixed_ci_low", "fixed_ci_high")
    return [
        marks.note(base, "none was bad", "datum.bad == 0", 4, look),
        marks.bars(base, axes.x(title=title, axis=axis), ends, look, color=look.theme.ink),
        marks.points(base, x, "fixed", look, tooltip=TOOLTIP_FIXED, color=alt.value(look.theme.ink)),
    ]


def _rule_words(shown: pl.DataFrame) -> str:
    """The rule that makes a prompt bad, for each direction of a judge."""
    limits = shown.select("better", "judge", "at").unique().sort("better", "judge", "at")
    words = []
    for better, side, kind in (("low", "above", "costs"), ("high", "below", "rewards")):
        found = limits.filter(pl.col("better") == better)
        if found.height:
            at = listing([f"{value:g}" for value in found["at"].unique().sort().to_list()])
            words.append(f"{side} {at} by {listing(rows.runs(found, 'judge'))} ({kind})")
    return f"A prompt is bad if its mean score over samples is {', or '.join(words)}."


FIGURE = Figure(
    name="verdicts",
    view="figure_verdicts",
    order=("run", "series", "variant", "dataset"),
    title="Prompts that patching fixes, keeps and breaks",
    description="flow of verdicts from recipient to patched model: prompts fixed, kept and broken",
    lacking="no finished patch run was judged: run `snql patch … --judge …`",
    sketch=_sketch,
)
