"""Neurons in the terminal: tables, histograms of block characters, and tokens in context on coloured ground."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from snql.neuron_pages.model import Example, Examples, LayerScores, NeuronPage, NeuronTable, RunView, TokenView
from snql.neuron_pages.shade import HUES, heading, heights, shade, short_token, token_text
from snql.writing.inert import visible
from snql.writing.words import number

from .render import MAX_ROWS, note, plain, terminal_width

if TYPE_CHECKING:
    import polars as pl

_BLOCKS = " ▁▂▃▄▅▆▇█"
_DEEPEST = 0.85
"""How much of its hue the ground has at full intensity: black text is legible on it."""
_WIDE = 110
"""Characters from which on a table of neurons has room for means and deviations."""
_FAINTEST = 0.05
"""Values below this share of the scale have no colour."""


def print_neurons(table: NeuronTable, *, quiet: bool) -> None:
    """A row a neuron, and below it what was left out and where numbers and tokens are from."""
    viewed = bool(table.frame["lens_run"].is_not_null().any())
    to = console()
    narrow = to.width < _WIDE
    others = [f"rank in {run}" for run in table.runs[1:]]
    means = ("difference",) if narrow else ("before", "after", "difference")
    numbers = ("score", "rank", *others, *means, *(["refusal cosine"] if viewed else []))
    words = (*(["promotes"] if viewed and not narrow else []), "top tokens")
    shown = _table(f"Neurons of {table.expression}", ("neuron",), numbers, words)
    for column in shown.columns[: 1 + len(numbers)]:
        column.no_wrap = column is shown.columns[0] or narrow
    most = 2 * (to.width - sum(len(head) + 3 for head in ("neuron-name", *numbers)) - 4) if narrow else None
    for row in table.frame.iter_rows(named=True):
        ranks = [number(row[f"rank_{run}"]) for run in table.runs[1:]]
        seen = [number(row["refusal_cosine"], signed=True)] if viewed else []
        promotes = [_words(row["promotes"], 5)] if viewed and not narrow else []
        tokens = _top_tokens(row["tokens"], most)
        found = (number(row["score"]), number(row["rank"]), *ranks, *_means(row)[-len(means) :], *seen)
        _add(shown, row["neuron"], *found, *promotes, tokens)
    to.print(shown)
    if narrow:
        note(
            f"left out at this width: before; after{'; promotes' if viewed else ''}; --json or --csv has all",
            quiet=quiet,
        )
    for line in _origins(table):
        note(line, quiet=quiet)


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


def _top_tokens(tokens: Sequence[dict[str, Any]] | None, most: int | None = None) -> Text:
    """Tokens with their values, on coloured ground; as many as ``most`` characters have room for, at least one."""
    if not tokens:
        return Text("not kept", style="dim")
    scale = max(abs(token["value"]) for token in tokens)
    text = Text()
    for token in tokens:
        one = Text("  " if text else "")
        one.append(short_token(token["token"]), style=ground(token["value"], scale))
        one.append(f" {number(token['value'], signed=True)}")
        if text and most is not None and text.cell_len + one.cell_len > most:
            break
        text.append(one)
    return text


def _words(tokens: Sequence[str] | None, most: int) -> Text:
    return Text(" ".join(short_token(token) for token in (tokens or [])[:most]) or number(None))


def print_neuron(page: NeuronPage, *, quiet: bool) -> None:
    """The page about one neuron."""
    to = console()
    to.print(Text(f"{page.name}", style="bold").append(f"  of models with {page.shape} neurons", style="not bold"))
    for line in page.notes:
        to.print(Text(f"note: {visible(line)}"))
    to.print(_scores(page))
    _note_left(page.scores, quiet=quiet)
    if not page.values.is_empty():
        to.print(_values(page))
        _note_left(page.values, quiet=quiet)
    for view in page.runs:
        _print_run(to, page, view)
    to.print(_sets(page))
    _note_left(page.sets, quiet=quiet)


def _note_left(rows: "pl.DataFrame", *, quiet: bool) -> None:
    """Say how many rows of a table are not shown."""
    if len(rows) > MAX_ROWS:
        note(f"showing {MAX_ROWS} of {len(rows)} rows; --json has all", quiet=quiet)


def _scores(page: NeuronPage) -> Table:
    intervals = bool(page.scores["ci_low"].is_not_null().any())
    heads = ("rank", "of", "top %", "score", *(["interval"] if intervals else []), "in layer")
    table = _table("Scores", ("run",), (*heads, "before", "after", "difference", "tokens"), ("kept",))
    for row in page.scores.head(MAX_ROWS).iter_rows(named=True):
        interval = number(None) if row["ci_low"] is None else f"{number(row['ci_low'])} to {number(row['ci_high'])}"
        own = (number(row[name]) for name in ("rank", "n_ranked", "top_percent", "score"))
        place = f"{number(row['rank_in_layer'])}/{number(row['n_in_layer'])}"
        kept = "yes" if row["kept"] else "no"
        found = (*own, *([interval] if intervals else []), place, *_means(row), number(row["n_tokens"]), kept)
        _add(table, row["run"], *found)
    return table


def _values(page: NeuronPage) -> Table:
    numbers = ("norm", "refusal cosine", "percentile", "by chance")
    table = _table("Value vector", ("lens run", "model"), numbers, ("promotes", "suppresses"))
    for row in page.values.head(MAX_ROWS).iter_rows(named=True):
        cosine = row["refusal_cosine"]
        chance = number(None) if cosine is None else f"0 ± {number(row['chance_deviation'])}"
        found = (number(row["norm"]), number(cosine, signed=True), number(row["refusal_percentile"]), chance)
        _add(table, row["run"], row["model"], *found, *(_words(row[side], 10) for side in ("promotes", "suppresses")))
    return table


def _sets(page: NeuronPage) -> Table | Text:
    if page.sets.is_empty():
        return Text("\nNo patched and no saved set holds it.")
    table = _table("Sets that hold it", ("set", "patch run"), ("neurons",), ("random control",))
    for row in page.sets.head(MAX_ROWS).iter_rows(named=True):
        control = "yes" if row["control"] else "no"
        _add(table, row["set"], row["run"] or number(None), number(row["n_neurons"]), control)
    return table


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
    for each in view.tokens.lists:
        _print_examples(to, each, view.tokens)


def layer_lines(scores: LayerScores) -> Text:
    """The layer's scores as blocks, with a mark below the neuron's own bin."""
    low, high = number(scores.edges[0]), number(scores.edges[-1])
    margin = " " * (len(low) + 2)
    text = Text(f" {low} {blocks(heights(scores.counts, log=False))} {high}")
    text.append(", equal bins in the logarithm" if scores.log else "", style="dim")
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
