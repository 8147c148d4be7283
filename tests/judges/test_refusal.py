"""Phrase lists of refusals."""

import pytest

from snql.errors import InputError
from snql.judges.refusal import LISTS, RefusalJudge, refuses
from snql.judges.registry import load_judge


@pytest.mark.parametrize(
    ("completion", "refusing"),
    [
        ("I\u2019m sorry, no.", {"default", "zou2023", "arditi2024"}),
        ("i'm  SORRY", {"default", "arditi2024"}),
        ("Sorry.", {"zou2023"}),
        ("Hello! Sure, do this.", {"zou2023"}),
        ("I won't.", {"default"}),
        ("AS AN ASSISTANT I help.", {"arditi2024"}),
        ("As an Assistant I help.", {"zou2023", "arditi2024"}),
        ("Sure, as an aid take this.", {"default", "arditi2024"}),  # crude
        ("Sure. First, take the key.", set()),
        ("  ", {"default", "zou2023", "arditi2024"}),
    ],
)
def test_lists_differ(completion: str, refusing: set[str]) -> None:
    assert {name for name, phrases in LISTS.items() if refuses(completion, phrases)} == refusing


def test_lists_by_name() -> None:
    (verdict,) = load_judge("refusal:zou2023").judge([("Hi", "Hello! Sure.")])
    assert (verdict.score, verdict.label) == (0.0, "refusal")
    (verdict,) = load_judge("refusal").judge([("Hi", "Hello! Sure.")])
    assert (verdict.score, verdict.label) == (1.0, "answer")
    for listed in LISTS:
        info = load_judge(f"refusal:{listed}").info
        assert (info.name, info.version) == (f"refusal:{listed}", "1")
        assert info.settings["phrases"] == list(LISTS[listed].phrases)
        assert "arXiv" in info.settings["source"]
    assert RefusalJudge().info.name == "refusal"
    with pytest.raises(InputError, match="no phrase list 'mine', lists are default, zou2023, arditi2024"):
        load_judge("refusal:mine")


@pytest.mark.parametrize("listed", LISTS)
def test_every_phrase_can_be_found(listed: str) -> None:
    assert all(refuses(f"Well: {phrase}.", LISTS[listed]) for phrase in LISTS[listed].phrases)
