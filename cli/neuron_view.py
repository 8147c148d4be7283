"""Neurons in the terminal: tables, histograms of block characters, and tokens in context on coloured ground."""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from snql.neuron_pages.model import Example, Examples, LayerScores, NeuronPage, NeuronTable, RunView, TokenView
from snql.neuron_pages.shade import HUES, heading, heights, shade, short_token, token_text
from snql.writing.inert import visible
from snql.writing.words import count, number

from .render import MAX_ROWS, note, note_hidden, plain, print_columns, terminal_width
from .table import Column

_BLOCKS = " ▁▂▃▄▅▆▇█"
_DEEPEST = 0.85
"""How much of its hue the ground has at full intensity: black text is legible on it."""
_WIDE = 110
"""Characters from which on a table of neurons has room for means and deviations."""
_LEAST_TOKENS = 12
"""Characters of top tokens beside many numbers."""
_ROW_LINES = 2
"""Of a neuron in a table."""
_MOST_LINES = 57
"""Of a neuron's page, with three of notes: two screens."""
_FEW_ROWS, _FEW_EXAMPLES = 5, 3
_ORDER = [("after", False), ("change", True), ("change", False), ("after", True), ("before", False), ("before", True)]
"""Lists of tokens by their measure and whether they are the lowest, those that say most first."""
_FAINTEST = 0.05
"""Values below this share of the scale have no colour."""


def print_neurons(table: NeuronTable, *, quiet: bool) -> None:
    """A row a neuron, and below it what was left out and where numbers and tokens are from."""
    viewed = bool(table.frame["lens_run"].is_not_null().any())
    to = console()
    narrow = to.width < _WIDE
    means = ("difference",) if narrow else ("before", "after", "difference")
    others = [f"rank in {run}" for run in table.runs[1:]]
    heads = ("score", "rank", *others, *means, *(["refusal cosine"] if viewed else []))
    rows = [_of_row(row, table.runs[1:], len(means), viewed=viewed) for row in table.frame.iter_rows(named=True)]
    least = {head: max(map(len, (*head.split(), *cells))) for head, *cells in zip(heads, *rows, strict=True)}
    room = to.width - max(map(len, ("neuron", *table.frame["neuron"]))) - _LEAST_TOKENS - 7
    left_out = _beyond(others, least, room)
    numbers = [head for head in heads if head not in left_out]
    whole = {head: max(least[head], len(head)) for head in numbers}
    widths = whole if sum(whole.values()) + 3 * len(whole) <= room else least
    words = (*(["promotes"] if viewed and not narrow else []), "top tokens")
    shown = _table(f"Neurons of {table.expression}", ("neuron",), numbers, words)
    for column, head in zip(shown.columns, ("", *numbers), strict=False):
        column.no_wrap, column.width = not head, widths.get(head)
    left = room + _LEAST_TOKENS - sum(widths[head] + 3 for head in numbers) if narrow else None
    for row, cells in zip(table.frame.iter_rows(named=True), rows, strict=True):
        promotes = [_words(row["promotes"], 5)] if viewed and not narrow else []
        found = [cell for head, cell in zip(heads, cells, strict=True) if head not in left_out]
        _add(shown, row["neuron"], *found, *promotes, _top_tokens(row["tokens"], to, left))
    to.print(shown)
    if narrow:
        left_out = ["before", "after", *(["promotes"] if viewed else []), *left_out]
    if left_out:
        note(f"left out at this width: {'; '.join(left_out)}; --json or --csv has all", quiet=quiet)
    for line in _origins(table):
        note(line, quiet=quiet)


def _of_row(row: dict[str, Any], others: Sequence[str], n_means: int, *, viewed: bool) -> tuple[str, ...]:
    ranks = (number(row[f"rank_{run}"]) for run in others)
    seen = [number(row["refusal_cosine"], signed=True)] if viewed else []
    return number(row["score"]), number(row["rank"]), *ranks, *_means(row)[-n_means:], *seen


def _beyond(others: Sequence[str], least: Mapping[str, int], room: int) -> list[str]:
    """Ranks in other runs that there is no room for; the last ones go first."""
    gone: list[str] = []
    while len(gone) < len(others) and sum(least.values()) + 3 * len(least) - sum(least[x] + 3 for x in gone) > room:
        gone.append(others[len(others) - 1 - len(gone)])
    return gone[::-1]


def _table(title: str, first: Sequence[str], numbers: Sequence[str], last: Sequence[str] = ()) -> Table:
    """A table without rows: columns of text, of numbers, and of text again."""
    table = Table(title=plain(title), title_justify="left")
    for head in first:
        table.add_column(plain(head), overflow="fold")
    for head in numbers:
        table.add_column(plain(head), justify="right")
    for head in last:
        table.add_column(plain(head), overflow="fold")
    return table


def _add(table: Table, *cells: str | Text) -> None:
    table.add_row(*(cell if isinstance(cell, Text) else plain(cell) for cell in cells))


def _origins(table: NeuronTable) -> list[str]:
    lines = [f"score, means ± standard deviations and their difference are of run {table.runs[0]}"]
    if table.token_run is not None:
        what = "change" if table.measure == "change" else f"activation {table.measure}"
        lines.append(f"top tokens: where the {what} is largest in size, in run {table.token_run}")
    lenses = table.frame["lens_run"].drop_nulls().unique().sort().to_list()
    if lenses:
        lines.append(f"value vectors (refusal cosine, promoted tokens) are of lens run {', '.join(lenses)}")
    if len(table.frame) < table.n_found:
        lines.append(f"showing {len(table.frame)} of {table.n_found} neurons; --limit N shows more")
    return lines


def _means(row: dict[str, Any]) -> tuple[str, ...]:
    """Means and deviations before and after, and the difference of the means."""
    spreads = (f"{number(row[f'mean_{side}'])} ± {number(row[f'std_{side}'])}" for side in ("before", "after"))
    return *spreads, number(row["mean_difference"], signed=True)


def _top_tokens(tokens: Sequence[dict[str, Any]] | None, to: Console, width: int | None = None) -> Text:
    """Tokens with their values, on coloured ground; as many as two lines of a width have room for, at least one."""
    if not tokens:
        return Text("not kept", style="dim")
    scale = max(abs(token["value"]) for token in tokens)
    text = Text()
    for token in tokens:
        one = Text("  " if text else "")
        one.append(short_token(token["token"]), style=ground(token["value"], scale))
        one.append(f" {number(token['value'], signed=True)}")
        if text and width is not None and len((text + one).wrap(to, width)) > _ROW_LINES:
            break
        text.append(one)
    return text


def _words(tokens: Sequence[str] | None, most: int) -> Text:
    return Text(" ".join(short_token(token) for token in (tokens or [])[:most]) or number(None))


def print_neuron(page: NeuronPage, *, quiet: bool, everything: bool = False) -> None:
    """The page about one neuron: as much as two screens hold, or all of it."""
    to, hidden = console(), list[str]()
    rows = MAX_ROWS if everything else _FEW_ROWS
    with to.capture() as first:
        _print_head(to, page, rows, hidden)
        for view in page.runs:
            _print_run(to, page, view)
    with to.capture() as last:
        _print_sets(to, page, rows, hidden)
    begun, end = first.get(), last.get()
    room = None if everything else _MOST_LINES - begun.count("\n") - end.count("\n")
    sys.stdout.write(begun)
    n_left = _print_lists(to, page, room)
    sys.stdout.write(end)
    note_hidden(hidden)
    left = [count(n_left, "list of tokens", "lists of tokens")] if n_left else []
    tables = {"run": page.scores, "lens run": page.values, "set": page.sets}
    left += [count(len(frame) - rows, what) for what, frame in tables.items() if len(frame) > rows]
    if everything and left:
        note(f"left out: {', '.join(left)}; --json has all", quiet=quiet)
    elif room is not None:
        note(f"left out: {', '.join([*left, 'examples of each list'])}; --all has the rest", quiet=quiet)


def _print_head(to: Console, page: NeuronPage, rows: int, hidden: list[str]) -> None:
    to.print(Text(f"{page.name}", style="bold").append(f"  of models with {page.shape} neurons", style="not bold"))
    for line in page.notes:
        to.print(Text(f"note: {visible(line)}"))
    hidden += print_columns(_scores(page, rows), "Scores", to)
    if not page.values.is_empty():
        hidden += print_columns(_values(page, rows), "Value vector", to)


def _print_sets(to: Console, page: NeuronPage, rows: int, hidden: list[str]) -> None:
    if page.sets.is_empty():
        to.print(Text("\nNo patched and no saved set holds it."))
    else:
        hidden += print_columns(_sets(page, rows), "Sets that hold it", to)


def _texts(heading: str, cells: Iterable[object], *, needed: bool = False) -> Column:
    return Column(heading, tuple(str(plain(cell)) for cell in cells), False, needed=needed)


def _numbers(heading: str, cells: Iterable[str], *, needed: bool = False) -> Column:
    return Column(heading, tuple(cells), True, needed=needed)


def _scores(page: NeuronPage, rows: int) -> list[Column]:
    """What is wanted most comes first: at narrow widths the last go."""
    frame = page.scores.head(rows)
    of_runs = list(frame.iter_rows(named=True))
    means = list(zip(*(_means(row) for row in of_runs), strict=True))
    intervals = [
        number(None) if row["ci_low"] is None else f"{number(row['ci_low'])} to {number(row['ci_high'])}"
        for row in of_runs
    ]
    columns = [
        _texts("run", frame["run"], needed=True),
        _numbers("rank", map(number, frame["rank"]), needed=True),
        _numbers("score", map(number, frame["score"]), needed=True),
        *([_numbers("interval", intervals)] if frame["ci_low"].is_not_null().any() else []),
        *(_numbers(head, cells) for head, cells in zip(("before", "after", "difference"), means, strict=True)),
        _numbers("of", map(number, frame["n_ranked"])),
        _numbers("top %", map(number, frame["top_percent"])),
        _numbers("in layer", (f"{number(row['rank_in_layer'])}/{number(row['n_in_layer'])}" for row in of_runs)),
        _texts("kept", ("yes" if kept else "no" for kept in frame["kept"])),
        _numbers("tokens", map(number, frame["n_tokens"])),
    ]
    return columns


def _values(page: NeuronPage, rows: int) -> list[Column]:
    frame = page.values.head(rows)
    of_runs = list(frame.iter_rows(named=True))
    chances = [
        number(None) if row["refusal_cosine"] is None else f"0 ± {number(row['chance_deviation'])}" for row in of_runs
    ]
    return [
        _texts("lens run", frame["run"], needed=True),
        _numbers("refusal cosine", (number(cosine, signed=True) for cosine in frame["refusal_cosine"]), needed=True),
        _numbers("by chance", chances),
        _texts("promotes", (_words(row["promotes"], 10).plain for row in of_runs), needed=True),
        _texts("suppresses", (_words(row["suppresses"], 10).plain for row in of_runs)),
        _numbers("norm", map(number, frame["norm"])),
        _numbers("percentile", map(number, frame["refusal_percentile"])),
        _texts("model", frame["model"]),
    ]


def _sets(page: NeuronPage, rows: int) -> list[Column]:
    frame = page.sets.head(rows)
    return [
        _texts("set", frame["set"], needed=True),
        _texts("patch run", frame["run"], needed=True),
        _numbers("neurons", map(number, frame["n_neurons"])),
        _texts("random control", ("yes" if control else "no" for control in frame["control"])),
    ]


def _print_run(to: Console, page: NeuronPage, view: RunView) -> None:
    to.print(Text(f"\nIn run {visible(view.run)}", style="bold"))
    if view.scores is not None:
        place = f"rank {number(view.rank_in_layer)} of {number(view.n_in_layer)}, quantile {number(view.quantile)}"
        to.print(Text(f"Scores of layer {page.place.layer} ({place})" if view.rank_in_layer else "Scores of the layer"))
        to.print(layer_lines(view.scores))
    if view.tokens is None:
        to.print(Text(f"No tokens to show: {visible(view.missing or '')}."))
        return
    to.print(activation_lines(view.tokens))


def _place(each: Examples) -> int:
    return _ORDER.index((each.measure, each.lowest))


def _print_lists(to: Console, page: NeuronPage, room: int | None) -> int:
    """Lists of tokens, as many as there are lines for, with few examples; returns how many are left out.

    Without an end to the room, all of them.
    """
    lists = [(view.tokens, each) for view in page.runs if view.tokens is not None for each in view.tokens.lists]
    if room is not None:
        lists = sorted((found for found in lists if found[1].examples), key=lambda found: _place(found[1]))
    n_left = 0
    for view, each in lists:
        few = each if room is None else replace(each, examples=each.examples[:_FEW_EXAMPLES])
        with to.capture() as captured:
            _print_examples(to, few, view)
        text = captured.get()
        if room is not None:
            room -= text.count("\n")
        if room is not None and room < 0:
            n_left += 1
        else:
            sys.stdout.write(text)
    return n_left


def layer_lines(scores: LayerScores) -> Text:
    """The layer's scores as blocks, with a mark below the neuron's own bin."""
    low, high = number(scores.edges[0]), number(scores.edges[-1])
    margin = " " * (len(low) + 2)
    text = Text(f" {low} {blocks(heights(scores.counts, log=False))} {high}")
    text.append(", equal steps of log" if scores.log else "", style="dim")
    return text if scores.own_bin is None else text.append(f"\n{margin}{' ' * scores.own_bin}▲")


def activation_lines(view: TokenView) -> Text:
    """The activations under both models as blocks, in shared bins."""
    bins = view.histogram
    text = Text(f"Activations at {number(view.n_tokens)} tokens, {number(bins.low)} to {number(bins.high)}")
    text.append(" (heights: logarithms of counts)", style="dim")
    for side, counts in (("before", bins.before), ("after", bins.after)):
        text.append(f"\n {side:6} {blocks(heights(counts, log=True))}")
    return text


def blocks(shares: Sequence[float]) -> str:
    """Bars of heights between 0 and 1 as characters; any that is not 0 shows."""
    return "".join(_BLOCKS[max(1, round(8 * share))] if share else " " for share in shares)


def _print_examples(to: Console, each: Examples, view: TokenView) -> None:
    to.print(Text(f"\n{heading(each.measure, lowest=each.lowest)}", style="underline"))
    if not each.examples:
        to.print(Text("  none"))
    table = Table.grid(padding=(0, 1))
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold")
    for example in each.examples:
        value = number(example.token.value(each.measure), signed=True)
        table.add_row(value, example_line(example, each.measure, view.scale(each.measure)))
    to.print(table)


def example_line(example: Example, measure: str, scale: float) -> Text:
    """A token in context: the token in brackets, ground coloured by activation, prompt text that was not scored dim."""
    text = Text("" if example.starts else "…", style="")
    text.append(token_text(example.lead) if example.lead else "", style="dim")
    for index, token in enumerate(example.tokens):
        style = ground(token.value(measure), scale)
        shown = token_text(token.text)
        if index == example.peak:
            text.append(f"[{shown}]", style=style + Style(bold=True))
        else:
            text.append(shown, style=style)
    text.append("" if example.ends else "…")
    return text.append(f"  x{example.n_same}" if example.n_same > 1 else "", style="dim")


def ground(value: float | None, scale: float) -> Style:
    """Orange for positive, blue for negative, from pale to full with the size; with black text."""
    sign, size = shade(value, scale)
    if sign == "none" or size < _FAINTEST:
        return Style()
    red, green, blue = (round(255 + (full - 255) * _DEEPEST * size) for full in HUES[sign])
    return Style(color="rgb(0,0,0)", bgcolor=f"rgb({red},{green},{blue})")


def console() -> Console:
    """Standard output, wide where it is no terminal."""
    return Console(width=terminal_width(), highlight=False)
