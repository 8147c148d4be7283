"""The grammar: what parses to what, and where mistakes are."""

import pytest

from snql.errors import ExpressionError
from snql.neurons.syntax import parse, runs_named
from snql.neurons.tree import (
    Bound,
    Combined,
    Comparison,
    Everything,
    Filtered,
    LastLayers,
    Layers,
    Listed,
    Named,
    Node,
    Operand,
    Random,
    Ranked,
    Sql,
    Top,
)

TOP5 = Bound(5, True)
ZERO = Bound(0, False)


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("a:5%", Ranked("a", ZERO, TOP5, 1)),
        (" a : 20000 ", Ranked("a", ZERO, Bound(20000, False), 2)),
        ("a:0.5%", Ranked("a", ZERO, Bound(0.5, True), 1)),
        ("a:5%..10%", Ranked("a", TOP5, Bound(10, True), 1)),
        ("a:100..200", Ranked("a", Bound(100, False), Bound(200, False), 1)),
        ("safety-seed2.v1:5%", Ranked("safety-seed2.v1", ZERO, TOP5, 1)),
        ("all", Everything()),
        ("L12.N345", Listed(((12, None, 345),), 1)),
        ("12.345, 12:346,L3/N7", Listed(((12, None, 345), (12, None, 346), (3, None, 7)), 1)),
        ("L12.E3.N345,12.4.5", Listed(((12, 3, 345), (12, 4, 5)), 1)),
        ("random(a:5%, seed=3)", Random(Ranked("a", ZERO, TOP5, 8), 3, 1)),
        ("random(a:5%, seed=3 , anywhere )", Random(Ranked("a", ZERO, TOP5, 8), 3, 1, True)),
        ("random(a:5%, seed=3, match=magnitude)", Random(Ranked("a", ZERO, TOP5, 8), 3, 1, magnitude=True)),
        (
            "random(a:5%, seed=3, match = magnitude : b.1 )",
            Random(Ranked("a", ZERO, TOP5, 8), 3, 1, magnitude=True, by="b.1"),
        ),
        ("random(a:5%, match=magnitude, seed=3)", Random(Ranked("a", ZERO, TOP5, 8), 3, 1, magnitude=True)),
        ("random(a:5%, anywhere, seed=3)", Random(Ranked("a", ZERO, TOP5, 8), 3, 1, True)),
        ("random(a:5%, seed=3, match=layer)", Random(Ranked("a", ZERO, TOP5, 8), 3, 1)),
        ("random(L2, seed=3, match=anywhere)", Random(Layers(2, 2, 8), 3, 1, anywhere=True)),
        ("L12", Layers(12, 12, 1)),
        ("L16..L30", Layers(16, 30, 1)),
        ("L12.E3", Layers(12, 12, 1, 3)),
        ("L12:5%", Ranked("L12", ZERO, TOP5, 1)),
        ("L1,L2.N3", Combined("|", Layers(1, 1, 1), Listed(((2, None, 3),), 4))),
        ("last(5 layers)", LastLayers(5, 1)),
        ("last:5%", Ranked("last", ZERO, TOP5, 1)),
        ("top:5%", Ranked("top", ZERO, TOP5, 1)),
        ("a:5%/layer", Ranked("a", ZERO, TOP5, 1, "layer")),
        ("a : 1..2 / index", Ranked("a", Bound(1, False), Bound(2, False), 1, "index")),
        ("top(5%, L2 by a)", Top(Layers(2, 2, 9), Ranked("a", ZERO, TOP5, 15))),
        (
            "a[score>-1e-1 and abs(x)!=y]",
            Filtered(
                "a",
                (
                    Comparison(Operand("score", 0, False, 3), ">", Operand(None, -0.1, False, 9)),
                    Comparison(Operand("x", 0, True, 19), "!=", Operand("y", 0, False, 27)),
                ),
                1,
            ),
        ),
        ("@mine", Named("mine", 1)),
        ("a:5% & @my-set.2", Combined("&", Ranked("a", ZERO, TOP5, 1), Named("my-set.2", 8))),
        ("sql(SELECT ')' AS x, layer FROM (SELECT 1))", Sql("SELECT ')' AS x, layer FROM (SELECT 1)", 1)),
        ("a:5% - b:5%", Combined("-", Ranked("a", ZERO, TOP5, 1), Ranked("b", ZERO, TOP5, 8))),
        ("a:5%-b:5%", Combined("-", Ranked("a", ZERO, TOP5, 1), Ranked("b", ZERO, TOP5, 6))),
    ],
)
def test_parse(text: str, tree: Node) -> None:
    assert parse(text) == tree


def test_and_binds_tighter_and_chains_go_left() -> None:
    def shape(node: Node) -> object:
        return (shape(node.left), node.operator, shape(node.right)) if isinstance(node, Combined) else node.run  # type: ignore[union-attr]

    assert shape(parse("a:1 | b:1 & c:1 - d:1")) == (("a", "|", ("b", "&", "c")), "-", "d")
    assert shape(parse("(a:1 | b:1) & c:1")) == (("a", "|", "b"), "&", "c")


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("", 1, "something is missing"),
        ("safety", 1, "how many neurons of run 'safety'"),
        ("a:5% &", 7, "something is missing"),
        ("a:5% + b:5%", 6, "unexpected '+'"),
        ("a:5% b:5%", 6, "unexpected 'b'"),
        ("(a:5%", 6, "expected ')'"),
        ("a:x", 3, "expected a number"),
        ("a:101%", 3, "more than all of the ranking"),
        ("a:" + "9" * 16, 3, "a number of more than 15 digits"),
        ("a:1.." + "9" * 20, 6, "a number of more than 15 digits"),
        ("a:1.5", 3, "not a whole number"),
        ("a:10%..5%", 1, "from a lower to a higher rank"),
        ("a:5%..10", 1, "both in % or neither"),
        ("random(a:5%)", 12, "expected ','"),
        ("random(a:5%, 3)", 14, "expected seed=NUMBER"),
        ("random(a:5%, match=layer)", 25, "expected ','"),
        ("random(a:5%, seed=3, here)", 22, "expected 'anywhere', 'match=layer' or 'match=magnitude'"),
        ("random(a:5%, seed=3, match=layers)", 22, "expected 'anywhere', 'match=layer' or 'match=magnitude'"),
        ("a:5%/neuron", 5, "expected /layer or /index"),
        ("L5..L3", 1, "from a lower to a higher layer"),
        ("L12x", 1, "how many neurons of run 'L12x'"),
        ("last(five layers)", 6, "expected a number of layers"),
        ("last(5)", 7, "expected 'layers'"),
        ("top(5, a:5%)", 12, "expected by RUN"),
        ("top(5 a:5%)", 7, "expected ','"),
        ("a[score]", 8, "expected a comparison"),
        ("a[score > ]", 11, "expected a column"),
        ("a[1 > 2]", 3, "two numbers say nothing"),
        ("a[score > 1", 12, "expected ']'"),
        (
            "a[score > 1 or x > 2]",
            13,
            "'or' joins no comparisons: write and between them, or join two sets, as in RUN[",
        ),
        ("a[x or y]", 5, "'or' joins no comparisons"),
        ("a[x > 1 & y > 2]", 9, "'&' joins no comparisons"),
        ("a[x > 1 ;]", 9, "expected ']'"),
        ("a[" + " and ".join(["x > 1"] * 51) + "]", 502, "more than 50 comparisons"),
        (",".join(["L1"] * 202), 606, "more than 200 operators"),
        ("random(a:5%, seed=3", 20, "expected ')'"),
        ("a:5% | @", 8, "expected the name of a saved set after @"),
        ("@5", 1, "expected the name of a saved set after @"),
        ("a:5% | sql(SELECT 1", 8, "never closed"),
        ("?", 1, "unexpected '?'"),
    ],
)
def test_mistakes_have_a_column(text: str, column: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse(text)
    assert caught.value.column == column
    assert message in str(caught.value)
    assert f"column {column}:" in str(caught.value)


@pytest.mark.parametrize(
    ("bound", "n_ranked", "rank"),
    [(TOP5, 528, 26), (TOP5, 704, 35), (Bound(0.01, True), 100, 1), (Bound(0, True), 100, 0), (Bound(7, False), 3, 7)],
)
def test_percentages_are_of_the_ranked_neurons(bound: Bound, n_ranked: int, rank: int) -> None:
    assert bound.rank(n_ranked) == rank


def test_runs_that_expressions_name() -> None:
    assert runs_named(["a:5% & (b:10 - random(c:1%, seed=2))", "d:5%..10% | L1.N2", "all"]) == {"a", "b", "c", "d"}
    assert runs_named(["random(L0.N1, seed=1, match=magnitude:e)"]) == {"e"}
    assert runs_named(["top(5, f[score > 0] by g)", "h:1/index"]) == {"f", "g", "h"}
    assert runs_named(["sql(SELECT layer, neuron FROM top_neurons('it''s', 3) WHERE x = 'y')"]) == {"it's", "y"}
    assert runs_named([]) == runs_named(["L1.N2,L3.N4", "all"]) == frozenset()
    with pytest.raises(ExpressionError):
        runs_named(["a:5%", "b"])
