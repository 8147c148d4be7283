"""Which runs a neuron is looked at in."""

from collections.abc import Sequence
from dataclasses import dataclass

from snql.db import scripts
from snql.db.connection import Database
from snql.errors import InputError
from snql.neuron_pages.model import Place
from snql.neurons.sets import NEURON, Shape


@dataclass(frozen=True)
class LocatedRun:
    """A finished locate run. base: the hash of the files of its base model, None where it is not recorded."""

    run_id: int
    name: str
    shape: Shape
    n_ranked: int
    base: str | None


def located_runs(db: Database) -> tuple[LocatedRun, ...]:
    """All finished locate runs, in order of their start; raises InputError if there is none."""
    rows = db.rows(scripts.query("located_runs"))
    if not rows:
        raise InputError(f"no finished locate run in {db.path}: run `snql locate` first")
    return tuple(
        LocatedRun(run_id, name, Shape(n_layers, per_expert * n_experts, n_experts), n_ranked, base)
        for run_id, name, n_layers, n_experts, per_expert, n_ranked, base in rows
    )


def named(db: Database, runs: Sequence[LocatedRun], names: Sequence[str]) -> tuple[LocatedRun, ...]:
    """The runs of these names, in their order.

    Raises InputError for an unknown name, or runs of models of different shapes.
    """
    known = {run.name: run for run in runs}
    for name in names:
        if name not in known:
            raise InputError(f"no finished locate run {name!r} in {db.path}: its runs are {', '.join(known)}")
    chosen = tuple(known[name] for name in dict.fromkeys(names))
    for other in chosen[1:]:
        if other.shape != chosen[0].shape:
            first = chosen[0]
            raise InputError(
                f"runs {first.name!r} and {other.name!r} are of models with {first.shape} and {other.shape} neurons: "
                "choose runs of one model with `run`"
            )
    return chosen


def parse_neuron(text: str) -> Place:
    """``L12.N345`` or ``L12.E3.N345``, and the other ways to write them; raises InputError for anything else."""
    match = NEURON.fullmatch(text.strip())
    if match is None:
        raise InputError(f"{text!r} is not a neuron: write L12.N345, or L12.E3.N345 in a mixture of experts")
    expert = match["e"] or match["expert"]
    layer, neuron = match["l"] or match["layer"], match["n"] or match["neuron"]
    return Place(int(layer), None if expert is None else int(expert), int(neuron))


def one_shape(db: Database, runs: Sequence[LocatedRun], place: Place | None = None) -> Shape:
    """The only shape that models of these runs have, of those that have the neuron.

    Raises InputError if no model has the neuron, or models of several shapes do.
    """
    shapes = list(dict.fromkeys(run.shape for run in runs))
    fitting = [shape for shape in shapes if place is None or has(shape, place)]
    if len(fitting) > 1:
        which = [next(run.name for run in runs if run.shape == shape) for shape in fitting]
        raise InputError(
            f"{db.path} has runs of models with {' and '.join(map(str, fitting))} neurons: choose with `run`, such as "
            f"`run` {which[0]}"
        )
    if place is not None and not fitting:
        if len(shapes) == 1:
            shapes[0].flat((place.layer, place.expert, place.neuron))
        raise InputError(
            f"no model of {db.path} has a neuron {place.name}: they have {', '.join(map(str, shapes))} neurons"
        )
    return fitting[0]


def has(shape: Shape, place: Place) -> bool:
    """Whether a model of that shape has the neuron."""
    try:
        shape.flat((place.layer, place.expert, place.neuron))
    except InputError:
        return False
    return True
