"""Expressions and options of any length and depth: one short line, and no error of Python's own."""

import random

import pytest

from snql.errors import ExpressionError, InputError
from snql.neurons.syntax import LONGEST, parse
from snql.options import split
from snql.patching.variants import sizes, windows

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture

DIGITS = "9" * 5_000
LARGE = {
    "operands": " | ".join(["safety:5%"] * 3_000),
    "differences": "-".join(["@a"] * 900),
    "random": "random(" * 300 + "all" + ", seed=1)" * 300,
    "brackets": "(" * 3_000 + "all" + ")" * 3_000,
    "long": "safety:5% " + " " * LONGEST,
    "neurons": ",".join(f"L1.N{n}" for n in range(20_000)),
    "unclosed": "sql(" + "(" * 10_000,
    "quotes": "sql('" * 5_000,
    "name": "a" * 60_000,
    "characters": "é" * 60_000,
    "percent": f"safety:{DIGITS}%",
    "fraction": f"safety:0.{DIGITS}%",
    "amount": f"safety:{DIGITS}",
    "window": f"safety:{DIGITS}..{DIGITS}",
    "seed": f"random(all, seed={DIGITS})",
    "layer": f"L{DIGITS}.N1",
    "neuron": f"L1.N{DIGITS}",
    "expert": f"L1.E{DIGITS}.N1",
    "numbers": f"{DIGITS}.{DIGITS}",
}


@pytest.mark.parametrize("name", LARGE)
def test_a_large_expression_is_one_short_line(snql: Snql, name: str) -> None:  # noqa: F811
    with pytest.raises(ExpressionError):
        parse(LARGE[name])
    assert snql("db", "init").code == 0
    done = snql("neurons", LARGE[name])
    assert done.code == 2 and done.err.startswith("snql: ") and done.err.count("\n") == 1 and len(done.err) < 520


def test_what_is_large_but_not_too_large_is_read() -> None:
    assert parse(" | ".join(["safety:5%"] * 200))
    assert parse("random(" * 49 + "all" + ", seed=1)" * 49)
    assert parse(",".join(f"L1.N{n}" for n in range(5_000)))
    assert parse("L999999999999999.N1")


PARTS = (
    *(
        "safety",
        ":",
        "5%",
        "..",
        "all",
        "random(",
        ", seed=",
        "1",
        ")",
        "(",
        "&",
        "|",
        "-",
        "@mine",
        "L1.N2",
        ",",
        "sql(",
    ),
    *("'", '"', " ", "\n", "\x00", "\ud800", "é", "∞", "٣", "1e9", "-1", "match=magnitude", DIGITS),
)


def _generated(seed: int) -> str:
    draw = random.Random(seed)
    return "".join(draw.choice(PARTS) for _ in range(draw.randrange(1, 60)))


def test_generated_expressions_are_read_or_refused_in_one_line() -> None:
    refused = 0
    for seed in range(2_000):
        try:
            parse(_generated(seed))
        except ExpressionError as error:
            refused += 1
            assert len(str(error)) < 500
    assert 1_000 < refused < 2_000


@pytest.mark.parametrize("text", ["1,,2", ",1", "1,", " , 1"])
def test_a_comma_with_nothing_beside_it_is_a_mistake(text: str) -> None:
    with pytest.raises(InputError, match="has a comma with nothing before or after it"):
        split(text)


@pytest.mark.parametrize(
    "item", ["", "%", "5%%", "-1", "1e3", "nan", "1..2", "0..9:0", f"0..{DIGITS}:1", "٣", "5 %", "1.2.3"]
)
def test_sizes_and_windows_that_cannot_be(item: str) -> None:
    for read in (sizes, lambda text: windows(text, lambda: 100)):
        try:
            found = read(item)
        except InputError:
            continue
        assert item == "5%" or found, item


@pytest.mark.parametrize(
    "limits",
    [
        *(
            ["--memory", size]
            for size in ("-1GB", "0GB", "1", "GB", "9" * 400 + "GB", "1e9GB", "4GB; SELECT 1", "80%", "")
        ),
        *(["--threads", number] for number in ("0", "-1", "99999999999", DIGITS, "1.5", "two")),
        *(["--timeout", seconds] for seconds in ("0", "-1", "nan", "inf", "1e99", DIGITS)),
    ],
)
def test_limits_that_cannot_be(snql: Snql, limits: list[str]) -> None:  # noqa: F811
    assert snql("db", "init").code == 0
    done = snql("query", "SELECT 1", *limits)
    assert done.code == 2 and done.err.count("\n") == 1 and len(done.err) < 520, done.err
