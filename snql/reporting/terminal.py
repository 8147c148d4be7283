"""The main figures as text, for servers: nothing is written, and the text fits the terminal."""

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import polars as pl

from snql.db import Database
from snql.errors import InputError
from snql.reporting.context import interval_words, judge_words
from snql.reporting.figures import FIGURES, overlap
from snql.reporting.figures.layers import BANDS
from snql.reporting.kit.axes import effect_limits
from snql.reporting.kit.figure import Figure
from snql.reporting.kit.rows import few_panels, panel_labels
from snql.reporting.sources import Sources, sources
from snql.reporting.textplots import (
    COLOURS,
    CONTROL_MARK,
    MARKS,
    NARROWEST,
    Plot,
    Series,
    bar,
    plot,
)
from snql.writing.layout import estimate
from snql.writing.terminal import table, wrapped
from snql.writing.words import count, decimal, interval, short_labels

MAX_PLOTS = 6
MAX_COMPARED = 20
MAX_LINES = 40
WIDEST = 140
Rows = pl.DataFrame
Row = dict[str, Any]
Lines = list[str]


class _Draw(Protocol):
    """The lines of one figure from the rows of its view."""

    def __call__(self, rows: Rows, width: int, *, colour: bool) -> Lines: ...


_WIDE = 100
"""From this width on there is room for all numbers beside the marks."""


def catalogue() -> tuple[str, ...]:
    """Names of the figures that can be drawn as text."""
    return tuple(_DRAWN)


def draw(
    db: Database,
    figures: Sequence[str] = (),
    width: int = 80,
    *,
    colour: bool = False,
    compare: Sequence[Database] = (),
    runs: Sequence[str] = (),
) -> str:
    """Figures as text of at most ``width`` characters a line; all that can be drawn so if none is named;
    of the runs of these names, of all if none is named.

    With ``colour`` the text has escape sequences for colours, else none. Raises InputError for a figure that is not
    drawn as text, an unknown run or a database with no finished run, DatabaseError if a database cannot be read.
    """
    unknown = [name for name in figures if name not in _DRAWN]
    if unknown:
        raise InputError(f"figure {unknown[0]!r} is not drawn in a terminal: choose from {', '.join(_DRAWN)}")
    usable = max(NARROWEST, min(width, WIDEST))
    lines: Lines = []
    with sources(db, compare).reading():
        source = sources(db, compare, runs)
        if source.runs().is_empty():
            raise InputError(
                f"{source.names} has no finished run: run `snql demo`, or `snql locate` and then `snql patch`"
            )
        for figure in (figure for figure in FIGURES if figure.name in (figures or _DRAWN)):
            lines += [*_figure(figure, source, usable, colour=colour), ""]
    return "\n".join([*lines, *wrapped(source.words, usable)]).rstrip() + "\n"


def _figure(figure: Figure, source: Sources, width: int, *, colour: bool) -> Lines:
    most = _MOST.get(figure.name)
    rows = source.frame(figure.query, most)
    left = 0 if most is None else sum(max(0, number - most) for number in source.n_located(figure.query))
    heading = [*wrapped(figure.title, width), "\u2550" * min(width, len(figure.title))]
    if rows.is_empty():
        return [*heading, *wrapped(f"Not drawn: {figure.lacking}.", width)]
    more = wrapped(f"{count(left, 'more run')}: `snql report --terminal --run NAME` draws those named.", width)
    return [*heading, *_DRAWN[figure.name](rows, width, colour=colour), *(more if left else [])]


def _effect_size(rows: Rows, width: int, *, colour: bool) -> Lines:
    shown = few_panels(rows)
    panels = list(panel_labels(shown).items())
    lines: Lines = []
    for (run, dataset), heading in panels[:MAX_PLOTS]:
        panel = shown.filter((pl.col("run") == run) & (pl.col("dataset") == dataset))
        lines += ["", heading.replace("\n", ", "), *_effects(panel, width, colour=colour)]
    notes = f"Bars: {interval_words(shown)}. Dotted: 0 (nothing) and 1 (all of the donor-recipient difference)."
    return [*lines, *_more(len(panels)), *wrapped(f"{notes} {judge_words(shown)}", width)]


def _effects(panel: Rows, width: int, *, colour: bool) -> Lines:
    sets = panel.filter(pl.col("kind") == "set")
    names = short_labels(sets["series"].unique().sort(), 30)
    sizes = [size for size in sets["n_neurons"].unique().sort() if size > 0]
    logarithmic = bool(sizes) and max(sizes) / min(sizes) > 30
    at: Callable[[float], float] = (lambda size: math.log10(max(size, 1))) if logarithmic else float
    drawn = [_controls(sets, at)]
    table_rows: list[tuple[str, ...]] = [("set", "neurons", "effect [interval]", "random sets [range]")]
    for place, series in enumerate(names):
        own = sets.filter(pl.col("series") == series).sort("n_neurons")
        defined = own.filter(pl.col("effect").is_not_null())
        points = [(at(size), effect) for size, effect in defined.select("n_neurons", "effect").iter_rows()]
        bars = _ends(defined)
        mark = MARKS[place % len(MARKS)]
        drawn.append(Series(mark, COLOURS[place % len(COLOURS)], points, bars))
        table_rows += [_effect_row(f"{mark} {names[series]}", row) for row in own.iter_rows(named=True)]
    lines = table(table_rows, width)
    if not any(series.points for series in drawn):
        return lines
    ticks = [(at(size), f"{size:,}") for size in _spread(sizes, at, width)]
    y_ticks = [(value, decimal(value, 1)) for value in (0, 0.5, 1)]
    label = "patched neurons (log scale)" if logarithmic else "patched neurons"
    picture = Plot(label, effect_limits(sets), drawn, x_ticks=ticks, y_ticks=y_ticks, across=(0, 1))
    return [f"causal effect    {CONTROL_MARK} random sets (mean)", *plot(picture, width, colour=colour), *lines]


def _controls(sets: Rows, at: Callable[[float], float]) -> Series:
    measured = sets.filter(pl.col("control_mean").is_not_null())
    points = [(at(size), mean) for size, mean in measured.select("n_neurons", "control_mean").iter_rows()]
    return Series(CONTROL_MARK, "gray", points)


def _ends(rows: Rows) -> list[tuple[float, float] | None]:
    return [None if low is None or high is None else (low, high) for low, high in rows["ci_low", "ci_high"].iter_rows()]


def _spread(sizes: Sequence[int], at: Callable[[float], float], width: int) -> list[int]:
    """Sizes whose labels do not touch, from the largest down."""
    shown: list[int] = []
    span = (at(sizes[-1]) - at(sizes[0])) or 1
    for size in reversed(sizes):
        if not shown or (at(shown[-1]) - at(size)) / span * (width - 10) > 9:
            shown.append(size)
    return shown


def _effect_row(name: str, row: Row) -> tuple[str, ...]:
    size = "" if row["n_neurons"] is None else f"{row['n_neurons']:,}"
    return name, size, _effect(row), _random(row)


def _effect(row: Row) -> str:
    return _estimate(row["effect"], row["ci_low"], row["ci_high"])


def _random(row: Row, *, with_range: bool = True) -> str:
    if not row["n_controls"]:
        return "none"
    ends = (row["control_min"], row["control_max"]) if with_range else (None, None)
    return f"{row['n_controls']}: {_estimate(row['control_mean'], *ends)}"


def _estimate(value: float | None, low: float | None, high: float | None) -> str:
    return "undefined" if value is None else estimate(value, low, high).text()


def _layers(rows: Rows, width: int, *, colour: bool) -> Lines:
    runs = rows["run"].unique().sort().to_list()
    legend = "  ".join(f"{mark} {words}" for mark, words in zip(MARKS, BANDS.values(), strict=True))
    lines: Lines = wrapped(f"{legend}  (ranks; dotted: the share of every layer by chance)", width)
    for run, name in short_labels(runs[:MAX_PLOTS], width - 24).items():
        own = rows.filter(pl.col("run") == run)
        chance = float(own["uniform"][0])
        drawn = [
            Series(
                MARKS[band - 1], COLOURS[band - 1], own.filter(pl.col("band") == band).select("layer", "share").rows()
            )
            for band in own["band"].unique().sort(descending=True)
        ]
        top = max(float(own["share"].to_numpy().max()), chance) * 1.08
        y_ticks = [(value, f"{100 * value:.0f} %") for value in (0, chance, top / 1.08)]
        last = int(own["layer"].to_numpy().max())
        ticks = [(layer, str(layer)) for layer in range(0, last + 1, max(1, last // 12 + (last > 12)))]
        picture = Plot("layer", (0, top), drawn, x_ticks=ticks, y_ticks=y_ticks, across=(chance,), height=13)
        sizes = own.unique("band").sort("band").select("band", "band_size").rows()
        numbers = ", ".join(f"{BANDS[band]}: {size:,}" for band, size in sizes)
        lines += ["", f"{name}, chance {100 * chance:.1f} %", *wrapped(f"neurons in {numbers}", width)]
        lines += plot(picture, width, colour=colour)
    return [*lines, *_more(len(runs))]


def _scores(rows: Rows, width: int, *, colour: bool) -> Lines:
    runs = rows["run"].unique().sort().to_list()
    lines: Lines = []
    for run, name in short_labels(runs[:MAX_PLOTS], width - 24).items():
        own = rows.filter(pl.col("run") == run).sort("bin")
        first = own.row(0, named=True)
        middle = [math.log10(math.sqrt(low * high)) for low, high in own.select("bin_low", "bin_high").iter_rows()]
        top = float(own["share"].to_numpy().max())
        marks = [math.log10(value) for value in (first["threshold"], first["knee_score"]) if value]
        ticks = [(value, f"{10**value:.3g}") for value in (middle[0], *marks[:1], middle[-1])]
        y_ticks = [(value, f"{100 * value:.1f} %") for value in (0, top / 2, top)]
        picture = Plot(
            "change score (log scale); share of the ranked neurons",
            (0, top * 1.05),
            columns=list(zip(middle, own["share"].to_list(), strict=True)),
            x_ticks=ticks,
            y_ticks=y_ticks,
            upright=marks,
            height=12,
        )
        lines += ["", f"{name} (n = {first['n_ranked']:,})", *plot(picture, width, colour=colour)]
        lines += wrapped(_score_words(first), width)
    return [*lines, *_more(len(runs))]


def _score_words(first: Row) -> str:
    knee = f"knee at rank {first['knee_rank']:,} ({first['knee_score']:.3g})" if first["knee_rank"] else "no knee"
    skew = "" if first["skewness"] is None else f", skewness {decimal(first['skewness'])}"
    return f"Dotted: top 5 % from {first['threshold']:.3g} (rank {first['threshold_rank']:,}), {knee}{skew}."


def _overlap(rows: Rows, width: int) -> Lines:
    runs = overlap.comparable(rows, several=True)
    shown = rows.filter(pl.col("run_a").is_in(runs) & pl.col("run_b").is_in(runs))
    fitting = max(2, min(len(runs), (width - 20) // 6))
    first = shown.row(0, named=True)
    heads = {
        "overlap": f"overlap of the top {first['k']:,} of {first['n_ranked']:,} (chance {decimal(first['chance'], 3)})",
        "spearman_all": "Spearman over all ranked neurons",
        "spearman_common": "Spearman over the common neurons only",
    }
    lines: Lines = []
    for column, head in heads.items():
        found = {frozenset(pair[:2]): pair[2] for pair in shown.select("run_a", "run_b", column).iter_rows()}
        lines += ["", *wrapped(head, width), *_matrix(runs[:fitting], found, width)]
    left = len({*rows["run_a"], *rows["run_b"]}) - fitting
    words = f"{count(left, 'more run')}, of models of another shape or beyond the width."
    return [*lines, *(wrapped(words, width) if left else [])]


def _matrix(runs: Sequence[str], found: dict[frozenset[str], float | None], width: int) -> Lines:
    labels = short_labels(runs, width)
    rows = [("", *(f"({place})" for place in range(1, len(runs) + 1)))]
    for place, run in enumerate(runs, start=1):
        cells = ("\u00b7" if other == run else _share(found, run, other) for other in runs)
        rows.append((f"({place}) {labels[run]}", *cells))
    return table(rows, width)


def _share(found: dict[frozenset[str], float | None], run: str, other: str) -> str:
    value = found.get(frozenset((run, other)))
    return "" if value is None else decimal(value)


def _transfer(rows: Rows, width: int) -> Lines:
    ranges = [rows.select(effect=name, ci_low=name, ci_high=name) for name in ("control_min", "control_max")]
    ends = effect_limits(pl.concat([rows.select("effect", "ci_low", "ci_high"), *ranges]))
    legend = f"{MARKS[0]} effect, \u2500 interval, {CONTROL_MARK} random sets (\u2591 range), \u250a 0 and 1"
    lines: Lines = wrapped(legend, width)
    with_range = width >= _WIDE
    for key, own in rows.group_by("run", "variant", maintain_order=True):
        lines += ["", _heading(key, width)]
        head = ("", "effect [interval]", "random sets [range]" if with_range else "random", "")
        space = max(10, width - (78 if with_range else 62))
        made = [
            (_dataset(row), _effect(row), _random(row, with_range=with_range), _forest(row, ends, space))
            for row in own.iter_rows(named=True)
        ]
        lines += table([head, *made], width)
    return [*_bounded(lines, width), *wrapped(f"Intervals: {interval_words(rows)}. {judge_words(rows)}", width)]


def _heading(key: Sequence[object], width: int) -> str:
    """Names separated by colons, each cut to its share of the width."""
    return ": ".join(short_labels(map(str, key), max(12, width // len(key) - 2)).values())


def _dataset(row: Row) -> str:
    (name,) = short_labels([row["dataset"]], 40).values()
    return f"{'all data sets' if row['dataset'] == '*' else name} (n = {row['n_prompts']:,})"


def _forest(row: Row, ends: tuple[float, float], width: int) -> str:
    spans = [
        (row[low], row[high], character)
        for low, high, character in (("control_min", "control_max", "\u2591"), ("ci_low", "ci_high", "\u2500"))
        if row[low] is not None and row[high] is not None
    ]
    marks = [(row["control_mean"], CONTROL_MARK), (row["effect"], MARKS[0])]
    return bar(
        ends, width, [(0, 0, "\u250a"), (1, 1, "\u250a"), *spans], [mark for mark in marks if mark[0] is not None]
    )


def _tax(rows: Rows, width: int) -> Lines:
    lines: Lines = wrapped(f"R recipient, {MARKS[0]} patched, D donor, each judge in its own units", width)
    for key, own in rows.group_by("run", "variant", "judge", maintain_order=True):
        lines += ["", _heading(key, width)]
        head = ("", "R", MARKS[0], "D", "change [interval]", "")
        made = [(_dataset(row), *_means(row), _scale(row, max(8, width - 88))) for row in own.iter_rows(named=True)]
        lines += table([head, *made], width)
    return [*_bounded(lines, width), *wrapped(f"Intervals: {interval_words(rows)}.", width)]


def _means(row: Row) -> tuple[str, ...]:
    values = (row[f"mean_{role}"] for role in ("recipient", "patched", "donor"))
    means = ("\u2013" if value is None else decimal(value) for value in values)  # a run without a donor
    return *means, f"{decimal(row['change'])} {interval(row['change_ci_low'], row['change_ci_high'])}"


def _scale(row: Row, width: int) -> str:
    recipient, patched, donor = (row[f"mean_{role}"] for role in ("recipient", "patched", "donor"))
    models = [recipient] if donor is None else [recipient, donor]
    ends = (min(*models, patched), max(*models, patched))
    marks = [(recipient, "R"), *(() if donor is None else ((donor, "D"),)), (patched, MARKS[0])]
    return bar(ends, width, [(min(models), max(models), "\u2508")], marks)


def _more(number: int) -> Lines:
    left = number - MAX_PLOTS
    return [f"{count(left, 'more panel')} in the files that `snql report` writes."] if left > 0 else []


def _bounded(lines: Lines, width: int) -> Lines:
    left = len(lines) - MAX_LINES
    if left <= 0:
        return lines
    return [*lines[:MAX_LINES], *wrapped(f"{count(left, 'more line')} in the tables that `snql report` writes.", width)]


def _uncoloured(lines: Callable[[Rows, int], Lines]) -> _Draw:
    """A figure that is text only, and so has no colours."""

    def drawn(rows: Rows, width: int, *, colour: bool) -> Lines:
        del colour
        return lines(rows, width)

    return drawn


_DRAWN: dict[str, _Draw] = {
    "effect-size": _effect_size,
    "layers": _layers,
    "scores": _scores,
    "overlap": _uncoloured(_overlap),
    "transfer": _uncoloured(_transfer),
    "tax": _uncoloured(_tax),
}

_MOST = {"layers": MAX_PLOTS, "scores": MAX_PLOTS, "overlap": MAX_COMPARED}
"""Of how many runs of each database a figure is drawn."""
