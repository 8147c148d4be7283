"""Which neuron expressions sweeps and windows stand for."""

import pytest

from snql.errors import InputError
from snql.patching.variants import expressions, layer_steps, sizes, windows


def test_sweeps_name_runs() -> None:
    def planned(neurons: list[str], sweep: list[str], window: str | None = None) -> list[str]:
        return expressions(neurons, sweep, window, lambda _: 120)

    assert planned(["a", "b"], ["1%", "20"]) == ["a:1%", "a:20", "b:1%", "b:20"]
    assert planned(["a:5%", "a:5%", "all"], []) == ["a:5%", "all"]
    assert planned(["a"], ["0..30:10", "5%"]) == ["a:0", "a:10", "a:20", "a:30", "a:5%"]
    assert planned(["a"], ["0.5%..2%:0.5%"]) == ["a:0.5%", "a:1%", "a:1.5%", "a:2%"]
    assert planned(["a"], [], "40%") == ["a:0%..40%", "a:40%..80%"]
    assert planned(["a"], [], "40") == ["a:0..40", "a:40..80", "a:80..120"]
    assert planned(["a"], ["10"], "5%:10%") == ["a:10", "a:0%..5%", "a:5%..10%"]
    assert planned(["a", "a:{} & L1"], ["5%/layer", "1..3:2/index"]) == [
        *("a:5%/layer", "a:1/index", "a:3/index"),
        *("a:5%/layer & L1", "a:1/index & L1", "a:3/index & L1"),
    ]
    assert planned(["a[score > {}]"], ["0..0.2:0.1", "-1"]) == [f"a[score > {x}]" for x in ("0", "0.1", "0.2", "-1")]
    assert planned(["b:1 & a:{}"], [], "60") == ["b:1 & a:0..60", "b:1 & a:60..120"]


def test_a_sweep_has_ten_thousand_steps_at_most() -> None:
    assert len(sizes("0..10000:1")) == len(layer_steps("each:0..10000")) == 10_001
    for item in ("0..10001:1", "0%..100%:0.009%"):
        with pytest.raises(InputError, match="from a lower to a higher size in at most 10000 steps"):
            sizes(item)
    assert sizes("3..3:1") == ["3"]
    assert windows("50%:100%", lambda: 0) == ["0%..50%", "50%..100%"]


def test_sweeps_over_layers() -> None:
    def planned(neurons: list[str], layers: list[str], sweep: tuple[str, ...] = ()) -> list[str]:
        return expressions(neurons, sweep, None, lambda _: 120, layers)

    assert planned(["all"], ["last:1..2"]) == ["last(1 layers)", "last(2 layers)"]
    assert planned(["a:5%"], ["first:1..5:2"]) == ["a:5% & L0..L0", "a:5% & L0..L2", "a:5% & L0..L4"]
    assert planned(["a:5% | b:5%"], ["each:3..4"]) == ["(a:5% | b:5%) & L3", "(a:5% | b:5%) & L4"]
    assert planned(["a"], ["last:3"], ("1%", "5%")) == ["a:1% & last(3 layers)", "a:5% & last(3 layers)"]
    for item, message in (
        ("last", "`sweep_layers` 'last' is not known"),
        ("last:0..3", "begins with no layer"),
        ("each:5..2", "does not go from a lower to a higher"),
        ("each:0..2:0", "does not go from a lower to a higher"),
    ):
        with pytest.raises(InputError, match=message):
            planned(["all"], [item])


def test_sweeps_that_have_no_place() -> None:
    def planned(neurons: list[str], sweep: list[str], window: str | None = None) -> list[str]:
        return expressions(neurons, sweep, window, lambda _: 120)

    for neurons, sweep, message in (
        ([], [], "which neurons"),
        (["a"], ["x"], "`sweep` size 'x' is not known"),
        (
            ["a:5%"],
            ["1%"],
            "`sweep` needs the plain name of a locate run in `neurons`, or {} where sizes go.*not 'a:5%'",
        ),
    ):
        with pytest.raises(InputError, match=message):
            planned(neurons, sweep)
    for sweep, window, message in (
        (["0..30%:10"], None, "`sweep` size '0..30%:10' is not known"),
        (["30..10:5"], None, "`sweep` 30..10:5 does not go from a lower to a higher"),
        (["1..30:0"], None, "`sweep` 1..30:0 does not go"),
        ([], "x", "`window` 'x' is not known"),
        ([], "5%:100", "`window` '5%:100' is not known"),
        ([], "200", "`window` 200 is wider than what it is to slide over"),
    ):
        with pytest.raises(InputError, match=message):
            planned(["a"], sweep, window)
