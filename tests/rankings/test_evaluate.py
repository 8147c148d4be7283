"""Expressions against a database, each compared with the set computed by hand."""

import numpy as np
import pytest

from snql.db.connection import Database
from snql.db.named_sets import list_named, members_of, remove_named
from snql.errors import ExpressionError, InputError, SnqlError
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.variants import VariantPlan
from snql.rankings.evaluate import Evaluator
from snql.rankings.saved_sets import save_set
from snql.rankings.shapes import shape_of

from ..synthetic import add_locate_run

SHAPE = Shape(4, 50)
GENERATOR = np.random.default_rng(0)
SCORES = {"a": GENERATOR.random((4, 50)), "b": GENERATOR.random((4, 50))}


pytestmark = pytest.mark.usefixtures("lingering")


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


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("all & nosuch:5%", 7, "no finished locate run 'nosuch' in .*: its runs are a, b, other"),
        ("L1 | top(5, L2 by gone)", 19, "no finished locate run 'gone'"),
        ("L1 - gone[score > 1]", 6, "no finished locate or lens run 'gone'"),
        ("L1 - @gone", 6, "no saved set 'gone'"),
    ],
)
def test_what_is_not_known_has_a_column_before_a_model_is_loaded(
    db: Database, evaluator: Evaluator, text: str, column: int, message: str
) -> None:
    for ask in (lambda: shape_of(db, text), VariantPlan(db, [text]).check, lambda: evaluator.evaluate(text)):
        with pytest.raises(ExpressionError, match=message) as caught:
            ask()
        assert caught.value.column == column


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


def test_saved_sets(db: Database, evaluator: Evaluator) -> None:
    saved = save_set(db, "mine", "a:5% - b:5%")
    assert ids(saved) == top("a", 0, 10) - top("b", 0, 8, 3)
    assert ids(evaluator.evaluate("@mine | L3.N49")) == ids(saved) | {199}
    assert ids(evaluator.evaluate("random(@mine, seed=1)")).isdisjoint(ids(saved))
    save_set(db, "derived", "@mine & a:2%")
    assert ids(evaluator.evaluate("@derived")) == ids(saved) & top("a", 0, 4)
    save_set(db, "single", "L0.N1", like="a")
    assert members_of(db, "single").select("layer", "neuron").rows() == [(0, 1)]
    assert list_named(db).select("name", "n_neurons", "n_layers_used", "model", "expression").rows() == [
        ("derived", len(ids(saved) & top("a", 0, 4)), list_named(db)["n_layers_used"][0], "4 x 50", "@mine & a:2%"),
        ("mine", len(saved), len(saved.by_layer()), "4 x 50", "a:5% - b:5%"),
        ("single", 1, 1, "4 x 50", "L0.N1"),
    ]
    save_set(db, "single", "L0.N2", like="a", force=True)
    assert ids(evaluator.evaluate("@single")) == {2}
    remove_named(db, "derived")
    for attempt, message in (
        (
            lambda: evaluator.evaluate("a:5% | @derived"),
            "column 8: no saved set 'derived' in .*: saved are mine, single",
        ),
        (lambda: save_set(db, "single", "a:1"), "a set 'single' is saved already \\(L0.N2\\): choose another name"),
        (lambda: save_set(db, "5%", "a:1"), "set name '5%' cannot be used"),
        (lambda: save_set(db, "x", "L0.N1"), "of which model is 'L0.N1'\\? name a locate run of it with `like`"),
        (lambda: save_set(db, "x", "lost:5%"), "no finished locate run 'lost'"),
        (lambda: save_set(db, "x", "L0.N1", like="lost"), "no finished locate run 'lost'"),
        (lambda: save_set(db, "x", "a:5% | @lost"), "no saved set 'lost'"),
        (lambda: save_set(db, "x", "a:5% &"), "column 7"),
        (lambda: remove_named(db, "lost"), "no saved set 'lost'"),
        (lambda: members_of(db, "lost"), "no saved set 'lost'"),
        (lambda: Evaluator(db, Shape(2, 50)).evaluate("@mine"), "is of a model with 4x50 neurons, this one has 2x50"),
    ):
        with pytest.raises(InputError, match=message):
            attempt()


def test_random_anywhere_has_the_size_and_no_more(evaluator: Evaluator) -> None:
    chosen = evaluator.evaluate("a:20%")
    drawn = [evaluator.evaluate(f"random(a:20%, seed={seed}, anywhere)") for seed in range(1, 41)]
    assert all(len(each) == 40 and not ids(each) & ids(chosen) for each in drawn)
    assert evaluator.evaluate("random(a:20%, seed=3, anywhere)") == drawn[2] != drawn[3]
    # over many draws every layer has its share of what is left of it
    counts = np.sum([np.bincount(each.layers, minlength=4) for each in drawn], axis=0)
    left = 50 - np.bincount(chosen.layers, minlength=4)
    np.testing.assert_allclose(counts / counts.sum(), left / left.sum(), atol=0.04)
    with pytest.raises(ExpressionError, match="100 of 200 neurons|101 of 200 neurons"):
        evaluator.evaluate("random(a:101, seed=1, anywhere)")


def test_random_sets_like_one_in_magnitude(db: Database, evaluator: Evaluator) -> None:
    sizes = np.exp(SCORES["a"])
    add_locate_run(db, "sized", SCORES["a"], sizes=sizes)
    chosen, drawn = (evaluator.evaluate(text) for text in ("sized:10%", "random(sized:10%, seed=2, match=magnitude)"))
    assert drawn == chosen.magnitude_matched(sizes.ravel(), 2)
    assert np.array_equal(evaluator.sizes("b:5% & sized:10%"), np.zeros(200)), "those of the first run that is named"
    save_set(db, "mine", "sized:10%")
    for text in ("random(@mine, seed=2, match=magnitude)", "random(@mine, seed=2, match=magnitude:sized)"):
        assert evaluator.evaluate(text) == drawn


def test_sizes_that_are_not_known(db: Database, evaluator: Evaluator) -> None:
    add_locate_run(db, "unsized", SCORES["a"], sizes=np.full((4, 50), np.nan))
    with db.write() as connection:
        connection.execute("UPDATE neuron_statistics SET mean_after = NULL")
    for text, message in (
        ("random(L0.N1, seed=1, match=magnitude)", r"write random\(EXPR, seed=1, match=magnitude:RUN\)"),
        ("random(unsized:5%, seed=1, match=magnitude)", "run 'unsized' has stored no activation statistics"),
        ("random(L0.N1, seed=1, match=magnitude:other)", "run 'other' is of a model with 2x50 neurons"),
        ("random(L0.N1, seed=1, match=magnitude:lost)", "no finished locate run 'lost'"),
    ):
        with pytest.raises(ExpressionError, match=message):
            evaluator.evaluate(text)


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
