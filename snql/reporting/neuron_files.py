"""A page for each of the highest neurons of every run, in the report's folder, with links to those ranked beside it."""

from pathlib import Path

import polars as pl

from snql.db import Database
from snql.neuron_pages import describe_neuron
from snql.neuron_pages.html import neuron_html
from snql.neurons.sets import neuron_name
from snql.reporting.neuron_rows import Neurons
from snql.reporting.sources import Sources

FOLDER = "neurons"
MAX_PAGES = 42
"""Of all runs together; each has an equal share, and at least one."""
EXAMPLES = 5
"""Tokens of each list."""
Link = tuple[str, str, str]


def linked(neurons: Neurons) -> int:
    """How many neurons of each run have a page, from rank 1."""
    return max(1, MAX_PAGES // len(neurons.runs))


def write(source: Sources, neurons: Neurons, folder: Path) -> None:
    """Write the pages, as ``neurons/PLACE/L12.N345.html`` with the place of the run among ``neurons.runs``."""
    for db, end in source.labelled():
        with db.reading():
            for place, run in enumerate(neurons.runs):
                if run.endswith(end):
                    names = _names(neurons, place)
                    _of_run(db, run.removesuffix(end), names, folder / FOLDER / str(place))


def _names(neurons: Neurons, place: int) -> list[str]:
    top = neurons.frame.filter((pl.col("run") == place) & (pl.col("rank") <= linked(neurons))).sort("rank")
    return [
        neuron_name(layer, neuron, expert) for layer, expert, neuron in top["layer", "expert", "neuron"].iter_rows()
    ]


def _of_run(db: Database, run: str, names: list[str], folder: Path) -> None:
    folder.mkdir(parents=True)
    for place, name in enumerate(names):
        page = describe_neuron(db, name, [run], examples=EXAMPLES)
        links = _links(names, place, run)
        (folder / f"{name}.html").write_text(neuron_html(page, links), "utf-8", newline="\n")


def _links(names: list[str], place: int, run: str) -> list[Link]:
    """Relation, address and words of the way back and of the neighbours by rank."""
    links = [("up", "../../index.html#neurons", f"Report: neurons of {run}")]
    if place:
        links.append(("prev", f"{names[place - 1]}.html", f"\u2039 Rank {place}: {names[place - 1]}"))
    if place + 1 < len(names):
        links.append(("next", f"{names[place + 1]}.html", f"Rank {place + 2}: {names[place + 1]} \u203a"))
    return links
