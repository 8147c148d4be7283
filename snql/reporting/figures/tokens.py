"""Activations over the tokens of one text, before and after."""

from typing import Any

import altair as alt
import polars as pl

from snql.reporting import charts
from snql.reporting.context import Context, locate_words
from snql.reporting.kit import captions, marks, panels, rows, series
from snql.reporting.kit.figure import Figure, Sketch
from snql.reporting.kit.plain import plain
from snql.reporting.look import Look
from snql.reporting.model import Chart
from snql.writing.inert import visible
from snql.writing.words import count, listing, short_labels, shorten

MAX_RUNS = 4
MOST_TOKENS = {1: 64}
"""Tokens of each run's text by the number of runs; half of it where they are several."""
LONGEST = 10
"""Characters of a token."""
SPACE, LINE = "\u00b7", "\u00b6"
MARKED = 0.15
"""Negative activations of at least this size, relative to the neuron's largest, carry a minus sign."""
LEGEND: dict[str, Any] = {
    "title": "activation / largest of the neuron",
    "direction": "horizontal",
    "values": [-1, -0.5, 0, 0.5, 1],
    "format": "~g",
}
TOOLTIP = marks.tooltip(("text", "token"), "position", ("row", "neuron"), "rank", ("activation", "", ".4~g"))


def _sketch(frame: pl.DataFrame, context: Context, look: Look) -> Sketch:
    """A strip for each of the first runs by name, broken into lines: a row for each neuron and model."""
    shown, runs, n_rest = rows.first_runs(frame, MAX_RUNS)
    n_tokens = MOST_TOKENS.get(len(runs), 32)
    texts = [_cells(shown.filter(pl.col("run") == run), n_tokens) for run in runs]
    words = [
        "Shades: the activation at each token, relative to the neuron's largest in the tokens shown, of both models; "
        f"\u2212 marks negative ones beyond {100 * MARKED:g} % of it. Paler tokens belong to the prompt, others to "
        f"the completion; {SPACE} is a space, {LINE} a line break; long tokens are cut. The text is the run's first "
        "with at least 12 scored tokens, else its longest; the neurons are the kept ones with the highest scores: "
        "neither was chosen by how the activations look.",
        *(_text_words(cells) for cells in texts),
        locate_words(context, runs),
        captions.runs_left_out(len(runs), n_rest),
    ]
    return _chart(texts, short_labels(runs, 24), look), words


def token_label(text: str) -> str:
    """A token on one line: spaces and line breaks have signs, and long ones are cut."""
    shown = visible(text.replace("\r\n", "\n").replace("\n", LINE)).replace(" ", SPACE)
    return shorten(shown, LONGEST) or "\u2026"


def _cells(of_run: pl.DataFrame, n_tokens: int) -> pl.DataFrame:
    """A row for each token, neuron and side, with its activation relative to the neuron's largest."""
    kept = of_run.filter(pl.col("position").rank("dense") <= n_tokens)
    largest = pl.max_horizontal(pl.col("before").abs().max(), pl.col("after").abs().max())
    named = kept.with_columns(
        name=rows.neuron_names(),
        column=pl.col("position").rank("dense") - 1,
        text=pl.col("token").map_elements(token_label, return_dtype=pl.String),
        in_prompt=pl.col("position") < pl.col("n_prompt"),
        largest=largest.over("place"),
    )
    long = named.unpivot(["before", "after"], index=_INDEX, variable_name="side", value_name="activation")
    relative = pl.when(pl.col("largest") > 0).then(pl.col("activation") / pl.col("largest")).otherwise(0.0)
    return long.with_columns(
        row=pl.format("{} {}", "name", "side"),
        relative=relative,
        sign=pl.when(relative <= -MARKED).then(pl.lit("\u2212")),
    ).sort("place", pl.col("side") == "after", "column")


_SHOWN = ["name", "rank", "column", "position", "text", "in_prompt"]
_INDEX = ["run", *_SHOWN, "place", "largest", "dataset", "n_scored", "n_kept"]


def _chart(texts: list[pl.DataFrame], names: dict[str, str], look: Look) -> Chart:
    cell = look.height(8.5)
    longest = max(cells["column"].n_unique() for cells in texts)
    n_columns = max(6, int(look.panel_width() // cell))
    n_columns = min(n_columns, max(longest, n_columns // 2))
    lines = []
    for cells in texts:
        for start in range(0, cells["column"].n_unique(), n_columns):
            part = cells.filter(pl.col("column").is_between(start, start + n_columns - 1))
            heading = names[cells["run"][0]] if start == 0 and len(texts) > 1 else None
            lines.append(_line(part, start, n_columns, heading, look))
    return alt.vconcat(*lines, spacing=look.height(9))


def _line(cells: pl.DataFrame, start: int, n_columns: int, heading: str | None, look: Look) -> Chart:
    strips = _rows(cells)
    named = [row for row in strips if row.strip()]
    names = plain(title=None, values=named, ticks=False, domain=False, labelPadding=look.height(3))
    y = alt.Y("row:N", sort=None, scale=plain(domain=strips, paddingInner=0.06, paddingOuter=0), axis=names)
    across = plain(domain=list(range(start, start + n_columns)), paddingInner=0.06, paddingOuter=0)
    x = alt.X("column:O", scale=across, axis=None)
    base = alt.Chart(charts.data(cells.select(*_SHOWN, "row", "activation", "relative", "sign"))).encode(x=x, y=y)
    signs = base.transform_filter("datum.sign").mark_text(fontSize=look.size(0.9), baseline="middle")
    ends = dict(zip((-1.0, 0.0, 1.0), look.theme.diverging, strict=True))
    colour = series.ramp("relative", ends, look.width * 0.4, look, **LEGEND)
    layers = [
        base.mark_rect().encode(color=colour, tooltip=TOOLTIP),
        signs.encode(text="sign:N", color=marks.on_shade("relative", look)),
        _texts(cells.filter(pl.col("row") == named[0]), look).encode(x=x),
    ]
    more: dict[str, Any] = (
        {"title": panels.heading(heading, look, anchor="start", offset=alt.Undefined)} if heading else {}
    )
    return panels.panel(layers, look, look.height(9) * len(strips), view=alt.ViewConfig(stroke=None), **more)


def _texts(cells: pl.DataFrame, look: Look) -> alt.Chart:
    """The tokens above their columns, those of the prompt paler."""
    ink = alt.condition("datum.in_prompt", alt.value(look.theme.muted), alt.value(look.theme.ink))
    texts: alt.Chart = alt.Chart(charts.data(cells.select("column", "text", "in_prompt")))
    texts = texts.mark_text(angle=270, align="left", baseline="middle", fontSize=look.size(0.95), limit=look.height(60))
    return texts.encode(y=alt.value(-2), text="text:N", color=ink)


def _rows(cells: pl.DataFrame) -> list[str]:
    """The rows from top to bottom, an empty one between two neurons."""
    named: list[str] = []
    for index, name in enumerate(cells["name"].unique(maintain_order=True)):
        named += [" " * index] * bool(index) + [f"{name} before", f"{name} after"]
    return named


def _text_words(cells: pl.DataFrame) -> str:
    """Which text and which neurons, and what full shade stands for."""
    neurons = cells.unique("name", maintain_order=True).select("name", "rank", "largest", "n_kept")
    words = [
        f"{name} ({'not ranked' if rank is None else f'rank {rank:,}'}, largest {largest:.3g})"
        for name, rank, largest, _ in neurons.iter_rows()
    ]
    first = cells.row(0, named=True)
    n_shown = cells["column"].n_unique()
    part = f"the first {n_shown} of {count(first['n_scored'], 'scored token')}"
    part = count(n_shown, "scored token") if n_shown == first["n_scored"] else part
    source = f" of a prompt of {first['dataset']}" if first["dataset"] else ""
    return f"{first['run']}: {part}{source}; {listing(words)}, of {count(first['n_kept'], 'kept neuron')}."


FIGURE = Figure(
    name="tokens",
    view="figure_tokens",
    order=("run", "position", "place"),
    title="Activations over the tokens of one text, before and after",
    description="activations of the first kept neurons over the tokens of one text, before and after",
    lacking="no finished locate run keeps token-level activations: run `snql locate … --keep 5%` to get some",
    sketch=_sketch,
)
