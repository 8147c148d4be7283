"""Verdicts, and how rows are shown."""

from dataclasses import replace

import numpy as np
import pytest

from snql.db.connection import Database
from snql.paper.files import Claim, Recipe, scale
from snql.paper.results import (
    AGAIN,
    FAILS,
    HOLDS,
    MISSING,
    SHOWN,
    UNDECIDED,
    UNDEFINED,
    Outcome,
    outcomes,
    published,
    verdict,
)
from snql.paper.words import HEADS, markdown, rows, rule, summary
from snql.stats.effects import share_interval

CLAIM = Claim("Says | it", {"llama-2-7b": "9", "gemma-7b": "8"}, "SELECT 1 AS value", ("above", 0.5), "ours")


@pytest.mark.parametrize(
    ("rule", "value", "low", "high", "expected"),
    [
        (("above", 0.5), 0.7, 0.6, 0.8, HOLDS),
        (("above", 0.5), 0.7, 0.4, 0.8, UNDECIDED),
        (("above", 0.5), 0.4, 0.3, 0.45, FAILS),
        (("above", 0.5), 0.4, 0.3, 0.6, UNDECIDED),
        (("above", 0.5), 0.6, None, None, SHOWN),
        (("above", 0.5), 0.4, 0.3, 0.5, FAILS),
        (("below", 0.5), 0.4, 0.3, 0.45, HOLDS),
        (("below", 0.5), 0.4, 0.3, 0.6, UNDECIDED),
        (("below", 0.5), 0.7, 0.6, 0.8, FAILS),
        (("below", 0.5), 0.6, 0.5, 0.7, FAILS),
        (("within", 0.1), 0.0, -0.05, 0.09, HOLDS),
        (("within", 0.1), 0.0, -0.05, 0.1, UNDECIDED),
        (("within", 0.1), -0.05, -0.12, 0.02, UNDECIDED),
        (("within", 0.1), 0.2, 0.1, 0.3, FAILS),
        (("within", 0.1), -0.2, -0.3, -0.1, FAILS),
        (("within", 0.1), 0.0, None, None, SHOWN),
        (("below", -1.0), -2.0, -3.0, -1.5, HOLDS),
        (("above", 0.5), None, None, None, UNDEFINED),
        (("above", 0.5), float("nan"), None, None, UNDEFINED),
        (None, 0.7, 0.6, 0.8, SHOWN),
        (None, None, None, None, UNDEFINED),
    ],
)
def test_verdicts(
    rule: tuple[str, float] | None, value: float | None, low: float | None, high: float | None, expected: str
) -> None:
    assert verdict(rule, value, low, high) == expected


def test_published_numbers_are_those_of_the_scales_model_where_it_is_one() -> None:
    assert published(CLAIM, scale("gemma-7b")) == "8"
    assert published(CLAIM, scale("demo")) == "llama-2-7b 9; gemma-7b 8"


def _outcome(label: str, value: float | None, found: str) -> Outcome:
    return Outcome(CLAIM, label, value, 0.6 if value else None, 0.8 if value else None, 100, 0.01, found)


def test_a_claim_is_said_once_and_its_rows_follow() -> None:
    made = rows([_outcome("a", 0.7, HOLDS), _outcome("b", None, UNDEFINED)], scale("demo"))
    assert made[0] == (
        "Says | it",
        "llama-2-7b 9; gemma-7b 8",
        "a: 0.7 [0.6, 0.8]",
        "100",
        "0.01",
        "> 0.5 (ours)",
        HOLDS,
    )
    assert made[1] == ("", "", "b: none", "100", "0.01", "", UNDEFINED)


def test_the_page_counts_verdicts_and_escapes_text() -> None:
    recipe = Recipe("fig2", "figure 2", "Title", (), (), (), (CLAIM,), (), "A note.")
    found = [(recipe, [_outcome("<b>", 0.7, HOLDS), _outcome("b", None, MISSING)])]
    assert summary(found)[:3] == [
        "Of 2 independent tested rows, 1 agree with the paper.",
        "0 rows can tell these adapters from contentless ones, which fail in at least nine of ten draws: 0 agree.",
        "1 row “not run”: fig2.",
    ]
    page = markdown(found, scale("demo"), [["snql locate x"]])
    assert f"| {' | '.join(HEADS)} |" in page
    assert "| Says \\| it |" in page
    assert "<b>" not in page
    assert "```sh\nsnql locate x\n```" in page


def test_repeated_measurements_and_rules_that_nulls_pass_do_not_count() -> None:
    telling, passed = (replace(CLAIM, nulls=counts) for counts in ((1, 10), (2, 10)))
    assert (telling.tested, telling.distinguishes) == (True, True)
    assert (passed.tested, passed.distinguishes) == (False, False)
    assert (CLAIM.tested, CLAIM.distinguishes) == (True, False)
    assert rule(telling) == "> 0.5 (ours; nulls: 1 of 10)"
    assert rule(replace(CLAIM, rule=("within", 0.1))) == "within ±0.1 (ours)"
    recipe = Recipe("fig2", "figure 2", "Title", (), (), (), (telling, passed), (), "A note.")
    rows = [Outcome(telling, "", 0.7, 0.6, 0.8, 9, None, HOLDS), Outcome(telling, "", 0.7, 0.6, 0.8, 9, None, AGAIN)]
    shown = Outcome(passed, "", 0.7, 0.6, 0.8, 9, None, SHOWN)
    assert summary([(recipe, [*rows, shown])])[:2] == [
        "Of 1 independent tested row, 1 agree with the paper.",
        "1 row can tell these adapters from contentless ones, which fail in at least nine of ten draws: 1 agree.",
    ]


def test_rows_of_changes_by_prompt_have_the_interval_of_their_ratio(db: Database) -> None:
    db.initialise()
    sql = "SELECT [0.0, 1, 1, 0, 1, 1, 0, 1]::DOUBLE[] AS changes, [1.0, 1, 1, 1, 1, 1, 1, 1]::DOUBLE[] AS gaps, 8 AS n"
    again = f"{sql}, 'fig2' AS restates"
    empty = "SELECT NULL::DOUBLE[] AS changes, NULL::DOUBLE[] AS gaps, 0 AS n"
    claims = tuple(replace(CLAIM, sql=text, rule=("above", 0.1)) for text in (sql, again, empty))
    found = outcomes(db, Recipe("x", "x", "x", (), (), (), claims, (), ""), ())
    expected = share_interval(np.array([0.0, 1, 1, 0, 1, 1, 0, 1]), np.ones(8))
    assert expected is not None
    assert (found[0].value, found[0].low, found[0].high) == (expected.value, expected.low, expected.high)
    assert [each.verdict for each in found] == [HOLDS, AGAIN, UNDEFINED]
