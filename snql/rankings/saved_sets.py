"""``snql sets``: neuron sets under names, to be written as ``@name``."""

from snql.db import named_sets
from snql.db.connection import Database
from snql.db.scores import read_shape
from snql.errors import InputError
from snql.neurons.sets import NeuronSet
from snql.rankings.evaluate import Evaluator
from snql.rankings.shapes import shape_of


def save_set(db: Database, name: str, expression: str, *, like: str | None = None, force: bool = False) -> NeuronSet:
    """Evaluate an expression now and save its members as ``@name``; later runs do not change them.

    like: a locate run of the model that is meant, for an expression that names none. Raises InputError for a name that
    is taken (unless ``force``) or cannot be used, or where the model is not known; ExpressionError as evaluating does.
    """
    named_sets.check_set_name(name)
    shape = read_shape(db, like) if like is not None else shape_of(db, expression)
    if shape is None:
        raise InputError(f"of which model is {expression!r}? name a locate run of it with `like` RUN")
    members = Evaluator(db, shape).evaluate(expression)
    named_sets.save_named(db, name, expression, members, force=force)
    return members
