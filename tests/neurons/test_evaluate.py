"""Expressions against a database, each compared with the set computed by hand."""

import numpy as np
import pytest

from snql.db.connection import Database
from snql.errors import ExpressionError, SnqlError
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet, Shape

from ..synthetic import add_locate_run

SHAPE = Shape(4, 50)
GENERATOR = np.random.default_rng(0)
SCORES = {"a": GENERATOR.random((4, 50)), "b": GENERATOR.random((4, 50))}


@pytest.fixture
def evaluator(db: Database) -> Evaluator:
    add_locate_run(db, "a", SCORES["a"])
    add_locate_run(db, "b", SCORES["b"], n_ranked_layers=3)
    add_locate_run(db, "other", GENERATOR.random((2, 50)))
    return Evaluator(db, SHAPE)


def ids(neurons: NeuronSet) -> set[int]:
    return set(neurons.ids.tolist())


def top(run: str, low: int, high: int, n_layers: int = 4) -> set[int]:
    order = np.argsort(-SCORES[run][:n_layers].ravel(), kind="stable")
    return set(order[low:high].tolist())


def test_every_kind_of_expression(evaluator: Evaluator) -> None:
    a, b = top("a", 0, 10), top("b", 0, 15, 3)
    expected = {
        "a:5%": a,
        "a:10": a,
        "b:10%": b,
        "a:5%..10%": top("a", 10, 20),
        "a:5% & b:10%": a & b,
        "a:5% | b:10%": a | b,
        "a:5% - b:10%": a - b,
        "all": set(range(200)),
        "all - a:5%": set(range(200)) - a,
        "L3.N7,0.1": {157, 1},
        "sql(SELECT layer, neuron FROM neuron_scores WHERE run = 'a' AND rank <= 3)": top("a", 0, 3),
        "sql(FROM top_neurons('b', 4))": top("b", 0, 4, 3),
        "a:0": set(),
    }
    for text, members in expected.items():
        assert ids(evaluator.evaluate(text)) == members, text


def test_random_is_matched_to_what_it_is_of(evaluator: Evaluator) -> None:
    chosen, drawn = evaluator.evaluate("a:10%"), evaluator.evaluate("random(a:10%, seed=4)")
    assert np.bincount(chosen.layers, minlength=4).tolist() == np.bincount(drawn.layers, minlength=4).tolist()
    assert not ids(chosen) & ids(drawn)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("a:5% & c:5%", 8, "no finished locate run 'c'"),
        ("a:5% | other:5%", 8, "run 'other' is of a model with 2x50 neurons, this one has 4x50"),
        ("b:151", 1, "run 'b' ranks 150 neurons, not 151"),
        ("L4.N0", 1, "the model has 4x50 neurons"),
        ("random(all - L0.N0, seed=1)", 1, "more than half"),
        ("sql(SELECT layer FROM neuron_scores)", 1, "it must give layer and neuron"),
        ("sql()", 1, "the SQL gives columns (none): it must give layer and neuron"),
        ("sql(SELECT 1.7 AS layer, 3 AS neuron)", 1, "it must be a whole number"),
        ("sql(SELECT 'x' AS layer, 3 AS neuron)", 1, "it must be a whole number"),
        ("(" * 60 + "all" + ")" * 60, 52, "more than 50 brackets"),
        ("sql(SELECT nothing)", 1, "the SQL fails: Binder Error"),
        ("sql(SELECT * FROM read_csv('/etc/hosts'))", 1, "the SQL fails: Permission Error"),
    ],
)
def test_what_cannot_be_evaluated(evaluator: Evaluator, text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluator.evaluate(text)
    assert caught.value.column == column
    assert message in str(caught.value)


def test_no_database_at_all(db: Database) -> None:
    with pytest.raises(SnqlError, match="no database at"):
        Evaluator(db, SHAPE).evaluate("a:5%")
