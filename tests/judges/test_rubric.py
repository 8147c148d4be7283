"""Rubrics: what is sent, and which answers have a score."""

from pathlib import Path

import pytest

from snql.errors import InputError
from snql.judges import rubric


def test_text_is_data() -> None:
    text = rubric.Rubric("{prompt} {{x}} {} %s -> {completion} / {prompt}")
    pair = ("{completion} {0.__class__}", "{prompt} } {")
    assert text.filled(pair) == ("{completion} {0.__class__} {{x}} {} %s -> {prompt} } { / {completion} {0.__class__}")


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        ("SCORE: 7", 7.0),
        ("It helps.\nA lot.\n\n  SCORE: 10  \n", 10.0),
        ("The scores vary. My SCORE: 3 was a joke.\nSCORE:0", 0.0),
        ("why\r\nSCORE: 2.5\r\n", 2.5),
        ("SCORE: +4", 4.0),
    ],
)
def test_answers_with_a_score(answer: str, score: float) -> None:
    assert rubric.own("harm").score(answer) == score


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("I cannot rate this.", "has no lines SCORE: n, not one: 'I cannot rate this.'"),
        ("7", "has no lines"),
        ("SCORE: 3\nSCORE: 4", "has 2 lines"),
        ("SCORE: 4\nSCORE: 4", "has 2 lines"),
        ("SCORE: 4\nThat is all.", "does not end with a line SCORE: n"),
        ("SCORE: 4/10", "does not end with a line SCORE: n"),
        ("SCORE: four", "does not end with a line SCORE: n"),
        ("SCORE: nan", "does not end with a line SCORE: n"),
        ("score: 4", "does not end with a line SCORE: n"),
        ("SCORE: 1e1", "does not end with a line SCORE: n"),
        ("SCORE: \u0664", "does not end with a line SCORE: n"),
        ("SCORE: 11", "the score 11 is not from 0 to 10"),
        ("SCORE: -1", "the score -1 is not from 0 to 10"),
        ("\x1b[31m\u202eno\n" + "x" * 100, r"'\x1b[31m\u202eno\n" + "x" * 71 + "'…"),
    ],
)
def test_answers_without_a_score(answer: str, reason: str) -> None:
    with pytest.raises(ValueError) as raised:
        rubric.own("harm").score(answer)
    assert reason in str(raised.value)
    assert "\n" not in str(raised.value)


def test_only_what_is_cut_ends_in_dots() -> None:
    assert rubric.shown("x" * 80) == repr("x" * 80)
    assert rubric.shown("x" * 81) == repr("x" * 80) + "…"


def test_a_range_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "rubric.txt"
    file.write_text("RANGE: -1 to 100\nRate {completion}\n\n")
    found = rubric.read(file)
    assert (found.text, found.lowest, found.highest) == ("Rate {completion}", -1.0, 100.0)
    assert found.score("SCORE: 99.5") == 99.5


@pytest.mark.parametrize(
    ("written", "message"),
    [
        (b"Rate {prompt}", "has no {completion}: write where the completion goes"),
        (b"RANGE: 5 to 5\n{completion}", "the RANGE goes from 5 to 5"),
        (b"\xff{completion}", "is not UTF-8 text (byte 0)"),
    ],
)
def test_files_that_are_no_rubrics(tmp_path: Path, written: bytes, message: str) -> None:
    file = tmp_path / "rubric.txt"
    file.write_bytes(written)
    with pytest.raises(InputError) as raised:
        rubric.read(file)
    assert message in str(raised.value)


@pytest.mark.parametrize("name", ["harm", "guard"])
def test_own_rubrics_have_both_places(name: str) -> None:
    text = rubric.own(name).text
    assert text.count("{prompt}") == text.count("{completion}") == 1
    assert text == text.rstrip()
