"""Tables at any width: the result and what tells rows apart are there, numbers are whole, what is missing is named."""

import random
import re
from itertools import product

import polars as pl
import pytest
from snql.cli.render import print_table
from snql.cli.table import columns_of, fitting, with_interval

from .conftest import Snql

WIDTHS = (60, 80, 100, 120)
HEADINGS = {
    "variant": "neurons",
    "n": "n",
    "dataset": "prompts",
    "judge": "judge",
    "mean": "mean of the recipient",
    "effect": "effect",
    "low": "low",
    "high": "high",
    "p": "p (Holm)",
}


def made(seed: int, n_rows: int = 6) -> pl.DataFrame:
    drawn = random.Random(seed)
    rows = [
        {
            "variant": f"random(safety:{drawn.randint(1, 20)}%, seed={row})"[: drawn.randint(9, 40)],
            "n": drawn.randint(1, 10**6),
            "dataset": drawn.choice(["demo:harmful", "demo:harmful-rephrased", "*"]),
            "judge": drawn.choice(["refusal", "score-model:models/a-cost-model"]),
            "mean": drawn.uniform(-1e4, 1e4),
            "effect": None if drawn.random() < 0.1 else drawn.uniform(-1, 1),
            "low": drawn.uniform(-1, 0),
            "high": drawn.uniform(0, 1),
            "p": 10 ** drawn.uniform(-200, 0),
        }
        for row in range(n_rows)
    ]
    return pl.DataFrame(rows)


def shown(
    frame: pl.DataFrame, width: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, str]:
    monkeypatch.setenv("COLUMNS", str(width))
    print_table(
        frame,
        HEADINGS,
        "A title that is longer than any narrow table is, by a good many words of it",
        results=("effect",),
    )
    captured = capsys.readouterr()
    return captured.out, captured.err


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(8))
def test_the_result_is_whole_at_any_width(
    width: int, seed: int, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = made(seed)
    out, err = shown(frame, width, capsys, monkeypatch)
    assert max(map(len, out.splitlines())) <= width
    for row in frame.iter_rows(named=True):
        whole = with_interval(row["effect"], row["low"], row["high"])
        assert all(part in out for part in whole.split(" [", 1)), "a value is cut"
    left_out = re.findall("left out at this width: (.*); --json or --csv has all", err)
    named = set(left_out[0].split("; ")) if left_out else set()
    heads = set(HEADINGS.values()) - {"low", "high"}
    assert named < heads and not named & {"effect", "neurons"}
    for head in heads - named:
        assert all(word in out for word in head.split())


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("seed", range(8))
def test_rows_that_differ_look_different(width: int, seed: int) -> None:
    frame = made(seed).with_columns(pl.lit(0.5).alias("effect"), pl.lit(0.4).alias("low"), pl.lit(0.6).alias("high"))
    columns = columns_of(frame, HEADINGS, ["effect"])
    fit = fitting(columns, width)
    whole = columns if fit is None else fit.columns
    assert len(set(zip(*(column.cells for column in whole), strict=True))) == frame.height


def test_what_says_the_same_everywhere_goes_first() -> None:
    frame = pl.DataFrame({"name": ["a", "b"], "same": ["x" * 40, "x" * 40], "other": [1, 2], "found": [0.1, 0.2]})
    fit = fitting(columns_of(frame, {name: name for name in frame.columns}, ["found"]), 32)
    assert fit is not None and fit.left_out == ["same"]
    assert [column.heading for column in fit.columns] == ["name", "other", "found"]


def test_lines_where_nothing_fits(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = shown(made(0), 24, capsys, monkeypatch)
    assert out.count("effect: ") == 6 and "┃" not in out and not err


@pytest.mark.parametrize(
    ("found", "words"),
    [
        ((0.5, 0.25, 0.75), "0.5 [0.25, 0.75]"),
        ((-1.11e-16, -1e-17, 0.0), "0 [0, 0]"),
        ((0.123456, None, None), "0.123"),
        ((None, None, None), "-"),
        ((None, 0.1, 0.2), "-"),
    ],
)
def test_a_value_and_its_interval_are_one_cell(found: tuple[float | None, ...], words: str) -> None:
    value, low, high = found
    assert with_interval(value, low, high) == words


def test_an_empty_table_says_what_would_fill_it(snql: Snql) -> None:
    assert snql("db", "init").code == 0
    for command, words in (
        (["runs"], "no runs yet: `snql demo` makes some"),
        (["sets"], "none yet: `snql sets save NAME EXPRESSION` saves one"),
        (["judges"], "none yet: `snql patch"),
    ):
        done = snql(*command)
        assert words in done.out and "┃" not in done.out


def test_tables_of_commands_keep_their_results(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    common = ["--limit", "3", "--max-new-tokens", "4"]
    pair = ["--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate"]
    assert snql("-q", "locate", "one", *pair, *common).code == 0
    assert snql("-q", "locate", "two", "--scorer", "cohens-d", "--from-run", "one").code == 0
    patch = ["patch", "moved", "--recipient", "demo:sft", "--donor", "demo:safety", "--neurons", "one:5%"]
    patch += ["--prompts", "demo:harmful", "--judge", "demo:cost", "--judge", "refusal", "--random", "1", *common]
    assert snql("-q", *patch).code == 0
    commands: list[tuple[list[str], tuple[str, ...]]] = [
        (["runs"], ("name", "status", "moved")),
        (["overlap", "one", "two"], ("overlap", "chance")),
        ([*patch, "--resume"], ("effect", "judge", "refusal", "controls")),
        (["divergence", "moved", "--resume"], ("closed", "effect", "demo:cost", "refusal")),
        (["neurons", "one:1%"], ("score", "rank", "top tokens")),
        (["judges"], ("judge", "refusal")),
        (["prompts", "demo:harmful"], ("kept",)),
    ]
    assert snql("-q", "divergence", "moved").code == 0
    for width, (command, words) in product(WIDTHS, commands):
        monkeypatch.setenv("COLUMNS", str(width))
        done = snql(*command)
        assert done.code == 0, done.err
        assert max(map(len, done.out.splitlines())) <= width, command
        for word in words:
            assert word in done.out, (command, word)
        assert "…" not in done.out.replace("…,", ""), f"{command}: something is cut"
