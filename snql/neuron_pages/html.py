"""Neurons as HTML: one file that loads nothing and runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from markupsafe import Markup

from snql.db.durable import written
from snql.errors import InputError
from snql.neuron_pages.model import Examples, Histogram, LayerScores, NeuronPage, NeuronTable, RunView, TokenView
from snql.neuron_pages.shade import HUES, heading, heights, shade, short_token, token_text
from snql.writing.pages import asset, template
from snql.writing.words import number

POLICY = Markup("default-src 'none'; style-src 'unsafe-inline'")
MOST_OPAQUE = 0.65
WIDTH, HEIGHT = 480, 90
"""Of a histogram's bars, in SVG units."""


@dataclass(frozen=True)
class Bar:
    """One bar of a histogram, from its upper left corner."""

    x: float
    y: float
    width: float
    height: float
    label: str
    own: bool


def neuron_html(page: NeuronPage, links: Sequence[tuple[str, str, str]] = ()) -> str:
    """The page about one neuron. links: to pages beside it, each with its relation, address and words."""
    text: str = template("neuron.html.j2").render(
        links=links, policy=POLICY, style=asset("page.css") + asset("neurons.css"), **part_values(page)
    )
    return text


def part_values(page: NeuronPage, addresses: Mapping[tuple[str, str], str] = MappingProxyType({})) -> dict[str, Any]:
    """What the part of a page that is about one neuron needs. addresses: of pages about runs, by kind and name."""
    return {
        **_common(),
        "page": page,
        "scores": list(page.scores.iter_rows(named=True)),
        "intervals": page.scores["ci_low"].is_not_null().any(),
        "sets": list(page.sets.iter_rows(named=True)),
        "values": list(page.values.iter_rows(named=True)),
        "short_token": short_token,
        "runs": [_run(view) for view in page.runs],
        "addresses": addresses,
    }


def neurons_html(table: NeuronTable) -> str:
    """The page with a row a neuron."""
    rows = [_with_shades(row) for row in table.frame.iter_rows(named=True)]
    viewed = table.frame["lens_run"].drop_nulls().unique().sort().to_list()
    text: str = template("neurons.html.j2").render(
        policy=POLICY,
        style=asset("page.css") + asset("neurons.css"),
        **_common(),
        table=table,
        rows=rows,
        short_token=short_token,
        viewed=viewed,
    )
    return text


def write_page(database: Path, text: str, path: Path, name: str) -> Path:
    """Write a page to a file, or as ``name`` into a folder that exists; raises InputError if that cannot be."""
    file = path / name if path.is_dir() else path
    try:
        with written(file, database) as target:
            target.write(text.encode())
    except OSError as error:
        raise InputError(
            f"`html` {file} cannot be written: {error.strerror or error}; name a file in a folder"
        ) from error
    return file


def _common() -> dict[str, Any]:
    return {
        "number": number,
        "ground": ground,
        "width": WIDTH,
        "height": HEIGHT,
    }


def _run(view: RunView) -> dict[str, Any]:
    tokens = view.tokens
    return {
        "view": view,
        "layer": None if view.scores is None else layer_bars(view.scores),
        "tokens": tokens,
        "histograms": [] if tokens is None else _histograms(tokens.histogram),
        "lists": [] if tokens is None else [_list(each, tokens) for each in tokens.lists],
    }


def layer_bars(scores: LayerScores) -> list[Bar]:
    """The layer's scores as bars, the neuron's own marked."""
    return _bars(scores.edges, scores.counts, log=False, own=scores.own_bin)


def _histograms(histogram: Histogram) -> list[tuple[str, list[Bar]]]:
    sides = (("before", histogram.before), ("after", histogram.after))
    return [(side, _bars(histogram.edges, counts, log=True)) for side, counts in sides]


def _bars(edges: Sequence[float], counts: Sequence[int], *, log: bool, own: int | None = None) -> list[Bar]:
    step = WIDTH / len(counts)
    bars = []
    for index, (count, height) in enumerate(zip(counts, heights(counts, log=log), strict=True)):
        label = f"{number(edges[index])} to {number(edges[index + 1])}: {count:,}"
        tall = round(HEIGHT * height, 1)
        x, y = round(index * step, 1), round(HEIGHT - tall, 1)
        bars.append(Bar(x, y, round(step - 1, 1), tall, label, index == own))
    return bars


def _list(each: Examples, view: TokenView) -> dict[str, Any]:
    scale = view.scale(each.measure)
    return {
        "title": heading(each.measure, lowest=each.lowest),
        "examples": [
            {
                "example": example,
                "lead": token_text(example.lead) if example.lead else "",
                "value": number(example.token.value(each.measure), signed=True),
                "tokens": [
                    {
                        "text": token_text(token.text),
                        "peak": index == example.peak,
                        "ground": ground(token.value(each.measure), scale),
                        "label": f"before {number(token.before)}, after {number(token.after)}",
                    }
                    for index, token in enumerate(example.tokens)
                ],
            }
            for example in each.examples
        ],
    }


def ground(value: float | None, scale: float) -> str:
    """A style: orange ground for positive values, blue for negative ones, more opaque with their size.

    Opacity ends at MOST_OPAQUE, so that the text is legible on light and on dark pages; empty where there is no colour.
    """
    sign, size = shade(value, scale)
    opacity = round(MOST_OPAQUE * size, 2)
    return f"background-color: rgba({', '.join(map(str, HUES[sign]))}, {opacity})" if opacity else ""


def _with_shades(row: dict[str, Any]) -> dict[str, Any]:
    """Tokens coloured by their share of the neuron's largest shown value."""
    if not row["tokens"]:
        return row
    scale = max(abs(token["value"]) for token in row["tokens"])
    tokens = [{**token, "ground": ground(token["value"], scale)} for token in row["tokens"]]
    return {**row, "tokens": tokens}
