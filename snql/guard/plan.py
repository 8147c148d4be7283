"""Which classifiers a guard run fits: the guard, others on prefixes of its ranking, and random controls of each."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from snql.errors import InputError
from snql.guard.measures import GUARD
from snql.neurons.sets import NeuronSet
from snql.neurons.syntax import parse
from snql.neurons.tree import Ranked
from snql.patching.variants import sizes
from snql.rankings.evaluate import Evaluator

MATCHED, MAGNITUDE, LAST_LAYER, ANYWHERE = "matched", "magnitude", "last-layer", "anywhere"
CONTROLS = (MATCHED, MAGNITUDE, LAST_LAYER, ANYWHERE)


@dataclass(frozen=True)
class Planned:
    """A classifier to fit. neurons: the chosen set's expression, of random ones that of the set they are compared with.

    kind: ``guard``, or one of :data:`CONTROLS`, then with the seed of the draw.
    """

    classifier_id: int
    neurons: str
    kind: str
    control_seed: int | None
    members: NeuronSet


@dataclass(frozen=True)
class Plan:
    """All classifiers, the guard first, and what was left out."""

    classifiers: tuple[Planned, ...]
    left_out: tuple[str, ...]

    @property
    def guard(self) -> Planned:
        return self.classifiers[0]

    @property
    def neurons(self) -> NeuronSet:
        """All neurons that any classifier reads."""
        ids = np.concatenate([each.members.ids for each in self.classifiers])
        return NeuronSet.from_ids(self.guard.members.shape, ids)


def make_plan(evaluator: Evaluator, neurons: str, wanted: Sequence[str], n_random: int) -> Plan:
    """Plan the guard on ``neurons``, others on the top of the same ranking, and so many controls of each kind for each.

    wanted: sizes of prefixes, such as 1% or 100 or 10..100:10. A kind of control for which there are too few other
    neurons, or no run that knows their sizes, is left out. Raises ExpressionError, or InputError for an empty set or
    sizes of what is no ranking.
    """
    sets = {neurons: evaluator.evaluate(neurons)}
    if not len(sets[neurons]):
        raise InputError(f"`neurons` {neurons} has no neurons: a guard reads at least one")
    for expression in _prefixes(neurons, wanted):
        members = evaluator.evaluate(expression)
        if len(members) and members not in sets.values():
            sets[expression] = members
    planned: list[Planned] = []
    left_out: list[str] = []
    for expression, members in sets.items():
        planned.append(Planned(len(planned), expression, GUARD, None, members))
        for kind in CONTROLS if n_random else ():
            try:
                drawn = [_drawn(evaluator, expression, members, kind, seed) for seed in range(1, n_random + 1)]
            except InputError as error:
                left_out.append(f"no {kind} controls of {expression}: {error}")
                continue
            for seed, control in enumerate(drawn, start=1):
                planned.append(Planned(len(planned), expression, kind, seed, control))
    return Plan(tuple(planned), tuple(left_out))


def _drawn(evaluator: Evaluator, expression: str, members: NeuronSet, kind: str, seed: int) -> NeuronSet:
    if kind == MAGNITUDE:
        return members.magnitude_matched(evaluator.sizes(expression), seed)
    return DRAWS[kind](members, seed)


def random_last_layer(members: NeuronSet, seed: int) -> NeuronSet:
    """As many neurons of the last layer, none of the set's; raises InputError if there are too few."""
    shape = members.shape
    layer = np.arange(shape.size - shape.n_neurons, shape.size, dtype=np.int64)
    others = np.setdiff1d(layer, members.ids)
    if len(others) < len(members):
        raise InputError(f"the last layer has {len(others)} other neurons, not {len(members)}")
    generator = np.random.default_rng([seed, shape.n_layers, 1])
    return NeuronSet.from_ids(shape, generator.choice(others, size=len(members), replace=False))


DRAWS: dict[str, Callable[[NeuronSet, int], NeuronSet]] = {
    MATCHED: NeuronSet.matched_random,
    LAST_LAYER: random_last_layer,
    ANYWHERE: NeuronSet.random_anywhere,
}


def _prefixes(neurons: str, wanted: Sequence[str]) -> Iterator[str]:
    """``RUN:SIZE`` for each size, of the ranking that the guard's neurons are the top of: of each layer, or index, as
    they are, unless the size says so itself.
    """
    if not wanted:
        return
    node = parse(neurons)
    if not isinstance(node, Ranked) or node.low.value > 0:
        raise InputError(f"`sizes` takes the top of a ranking: `neurons` must be as RUN:5%, not {neurons!r}")
    per = "" if node.per is None else f"/{node.per}"
    for item in wanted:
        yield from (f"{node.run}:{size}{'' if '/' in size else per}" for size in sizes(item))
