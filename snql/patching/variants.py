"""Which variants a patch run has: unpatched recipient, donor, each neuron set, and the random controls of each."""

import re
from collections.abc import Sequence

from snql.db.records import Variant
from snql.errors import InputError
from snql.neurons.evaluate import Evaluator
from snql.neurons.syntax import RUN_NAME

RECIPIENT, DONOR = 0, 1
_SIZE = re.compile(r"\d+(\.\d+)?%?")


def expressions(neurons: Sequence[str], sweep: Sequence[str]) -> list[str]:
    """The neuron expressions of a run: ``neurons`` themselves, or each of those runs at each size of the sweep.

    Raises InputError if there is none, a size is malformed, or a sweep is asked of more than a run's name.
    """
    if not neurons:
        raise InputError("which neurons? give --neurons, such as --neurons safety:5%")
    if not sweep:
        return list(dict.fromkeys(neurons))
    for size in sweep:
        if not _SIZE.fullmatch(size):
            raise InputError(f"--sweep size {size!r} is not known: use sizes such as 0.5%,1%,5% or 100,1000")
    for name in neurons:
        if not RUN_NAME.fullmatch(name):
            raise InputError(f"--sweep needs the plain name of a locate run in --neurons, not {name!r}")
    return list(dict.fromkeys(f"{name}:{size}" for name in neurons for size in sweep))


def plan_variants(evaluator: Evaluator, wanted: Sequence[str], n_random: int) -> list[Variant]:
    """All variants of a run with their members, controls beside what they control.

    Controls have the same number of neurons in each layer and none of the set's own. Raises ExpressionError.
    """
    variants = [Variant(RECIPIENT, "recipient", "recipient"), Variant(DONOR, "donor", "donor")]
    for expression in wanted:
        members = evaluator.evaluate(expression)
        chosen = Variant(len(variants), expression, "patched", expression, members)
        variants.append(chosen)
        for seed in range(1, n_random + 1) if len(members) else ():
            control = f"random({expression}, seed={seed})"
            drawn = evaluator.evaluate(control)
            variants.append(Variant(len(variants), control, "patched", control, drawn, chosen.variant_id, seed))
    return variants
