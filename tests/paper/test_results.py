"""Verdicts, and how rows are shown."""

import pytest

from snql.paper.files import Claim, Recipe, scale
from snql.paper.results import FAILS, HOLDS, MISSING, SHOWN, UNDECIDED, UNDEFINED, Outcome, published, verdict
from snql.paper.words import HEADS, markdown, rows, summary

CLAIM = Claim("Says | it", {"llama-2-7b": "9", "gemma-7b": "8"}, "SELECT 1 AS value", ("above", 0.5), "ours")


@pytest.mark.parametrize(
    ("rule", "value", "low", "high", "expected"),
    [
        (("above", 0.5), 0.7, 0.6, 0.8, HOLDS),
        (("above", 0.5), 0.7, 0.4, 0.8, UNDECIDED),
        (("above", 0.5), 0.4, 0.3, 0.45, FAILS),
        (("above", 0.5), 0.4, 0.3, 0.6, UNDECIDED),
        (("above", 0.5), 0.6, None, None, HOLDS),
        (("above", 0.5), 0.5, None, None, FAILS),
        (("below", 0.5), 0.4, 0.3, 0.45, HOLDS),
        (("below", 0.5), 0.4, 0.3, 0.6, UNDECIDED),
        (("below", 0.5), 0.7, 0.6, 0.8, FAILS),
        (("below", 0.5), 0.5, None, None, FAILS),
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
        "Says | it", "llama-2-7b 9; gemma-7b 8", "a: 0.7 [0.6, 0.8]", "100", "0.01", "> 0.5 (ours)", HOLDS
    )  # fmt: skip
    assert made[1] == ("", "", "b: none", "100", "0.01", "", UNDEFINED)


def test_the_page_counts_verdicts_and_escapes_text() -> None:
    recipe = Recipe("fig2", "figure 2", "Title", (), (), (), (CLAIM,), (), "A note.")
    found = [(recipe, [_outcome("<b>", 0.7, HOLDS), _outcome("b", None, MISSING)])]
    assert summary(found)[:2] == ["Of 2 tested rows, 1 agree with the paper.", "1 row “not run”: fig2."]
    page = markdown(found, scale("demo"), [["snql locate x"]])
    assert f"| {' | '.join(HEADS)} |" in page
    assert "| Says \\| it |" in page
    assert "<b>" not in page
    assert "```sh\nsnql locate x\n```" in page
