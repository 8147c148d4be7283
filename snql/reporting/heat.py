"""Token heat maps: the activations of some top neurons over the tokens of completions, before and after."""

from dataclasses import dataclass

from snql.db import Database
from snql.db.activations import tables_of
from snql.neuron_pages.model import ContextToken, Example, Place
from snql.neuron_pages.tokens import token_view
from snql.reporting.sources import Sources, rows

MAX_RUNS = 3
MAX_NEURONS = 3
"""Of each run."""
MAX_TRIED = 12
"""How many of a run's ranking are looked at for some whose token activations are kept."""
N_EXAMPLES = 2
CONTEXT = 40
"""Tokens on each side of the one that changes most."""

RUNS = """
SELECT DISTINCT run_id, run FROM activation_chunks JOIN locate_runs USING (run_id) ORDER BY run_id
"""
TOP = """
SELECT layer, expert, neuron, rank, score FROM neuron_scores
WHERE run_id = $run_id AND rank <= $most ORDER BY rank
"""


@dataclass(frozen=True)
class HeatMap:
    """One neuron in one run. scale: the activation that full colour stands for, the largest of both models in size."""

    run: str
    place: Place
    rank: int
    score: float
    scale: float
    examples: tuple[Example, ...]


def read(source: Sources) -> tuple[HeatMap, ...]:
    """The heat maps of the first runs that keep token activations, of each database."""
    found = [
        (db, end, *run)
        for db, end in source.labelled()
        for run in source.kept(rows(db, RUNS)).head(MAX_RUNS).iter_rows()
    ]
    return tuple(each for db, end, run_id, run in found for each in _of_run(db, run_id, run + end))


def _of_run(db: Database, run_id: int, run: str) -> list[HeatMap]:
    kept = tables_of(db, run_id)
    made: list[HeatMap] = []
    for layer, expert, neuron, rank, score in rows(db, TOP, run_id=run_id, most=MAX_TRIED).iter_rows():
        if layer not in kept or len(made) == MAX_NEURONS:
            continue
        place = Place(layer, expert, neuron)
        view = token_view(db, run_id, place, N_EXAMPLES, CONTEXT)
        if view is not None:
            changes = [example for each in view.lists if each.measure == "change" for example in each.examples]
            made.append(HeatMap(run, place, rank, score, view.max_activation, _most_changed(changes)))
    return made


def _most_changed(examples: list[Example]) -> tuple[Example, ...]:
    """Those with the largest changes, one a prompt, the largest first."""
    of_prompts: dict[int, Example] = {}
    for example in sorted(examples, key=lambda example: (-abs(_change(example.token)), example.prompt_id)):
        of_prompts.setdefault(example.prompt_id, example)
    return tuple(of_prompts.values())[:N_EXAMPLES]


def _change(token: ContextToken) -> float:
    return token.value("change") or 0.0
