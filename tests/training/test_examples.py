"""Rows of the shapes that public data sets have, as dialogues and preferences."""

from typing import Any

import pytest

from snql.errors import InputError
from snql.prompts.types import Turn
from snql.training.examples import Dialogue, Preference, dialogue_of, preference_of, why_no_preference

USER, ANSWER = Turn("user", "Hi?"), Turn("assistant", "Yes.")
MESSAGES = [{"role": "user", "content": "Hi?"}, {"role": "assistant", "content": "Yes."}]
SHAREGPT = [{"from": "human", "value": "Hi?"}, {"from": "gpt", "value": "Yes."}]


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES},
        {"conversations": SHAREGPT, "id": "x"},
        {"messages": [*MESSAGES, {"role": "user", "content": "And?"}]},
        {"prompt": "Hi?", "completion": "Yes."},
        {"prompt": MESSAGES[:1], "completion": MESSAGES[1:]},
        {"instruction": "Hi?", "input": "", "output": "Yes."},
        {"question": "Hi?", "answer": "Yes."},
        {"chosen": "\n\nHuman: Hi?\n\nAssistant: Yes.", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."},
    ],
)
def test_answers_are_found(row: dict[str, Any]) -> None:
    assert dialogue_of(row, "d") == Dialogue((USER, ANSWER))


def test_an_instruction_takes_its_input_along() -> None:
    found = dialogue_of({"instruction": "Add.", "input": "1 2", "output": "3"}, "d")
    assert found is not None and found.turns[0].content == "Add.\n\n1 2"


@pytest.mark.parametrize(
    "row",
    [
        {"messages": MESSAGES[:1]},
        {"messages": MESSAGES[1:]},
        {"prompt": "Hi?", "completion": "  "},
        {"prompt": "", "completion": "Yes."},
        {"conversations": []},
    ],
)
def test_a_row_without_a_prompt_or_an_answer_is_none(row: dict[str, Any]) -> None:
    assert dialogue_of(row, "d") is None


MARKED = "\n\nHuman: A?\n\nAssistant: B.\n\nHuman: Hi?\n\nAssistant:"
THREE = (Turn("user", "A?"), Turn("assistant", "B."), USER)


@pytest.mark.parametrize(
    ("row", "prompt"),
    [
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": "No."}, (USER,)),
        ({"chosen": f"{MARKED} Yes.", "rejected": f"{MARKED} No."}, THREE),
        ({"prompt": "Hi?", "chosen": MESSAGES[1:], "rejected": [{"role": "assistant", "content": "No."}]}, (USER,)),
        ({"chosen": MESSAGES, "rejected": [MESSAGES[0], {"role": "assistant", "content": "No."}]}, (USER,)),
        ({"prompt": MESSAGES[:1], "chosen": "Yes.", "rejected": "No."}, (USER,)),
    ],
)
def test_preferences_are_found(row: dict[str, Any], prompt: tuple[Turn, ...]) -> None:
    assert preference_of(row, "d") == Preference(prompt, "Yes.", "No.")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": "Yes."}, "two equal answers"),
        ({"prompt": "Hi?", "chosen": "Yes.", "rejected": " "}, "a blank answer"),
        ({"prompt": "", "chosen": "Yes.", "rejected": "No."}, "no prompt"),
        ({"prompt": "Hi?", "chosen": None, "rejected": "No."}, "an answer is missing"),
        (
            {"chosen": f"{MARKED} Yes.", "rejected": "\n\nHuman: Other?\n\nAssistant: No."},
            "answers to different prompts",
        ),
        ({"chosen": "\n\nHuman: Hi?", "rejected": "\n\nHuman: Hi?\n\nAssistant: No."}, "a blank answer"),
    ],
)
def test_a_pair_that_says_nothing_is_none(row: dict[str, Any], reason: str) -> None:
    assert preference_of(row, "d") is None
    assert why_no_preference(row, "d") == reason


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"text": "x"}, "data d has no preferences: its columns are text; needed are chosen and rejected"),
        ({"chosen": "x", "rejected": "y"}, "column 'chosen' holds no dialogue"),
        ({"chosen": 1, "rejected": 2}, "column 'chosen' holds a int, not text or messages"),
        ({"chosen": [{"role": "elf", "content": ""}], "rejected": []}, "a message has the role 'elf'"),
    ],
)
def test_other_shapes_are_refused(row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        preference_of(row, "d")


def test_data_without_answers_is_refused() -> None:
    with pytest.raises(InputError, match="data d has no answers: its columns are prompt"):
        dialogue_of({"prompt": "Hi?"}, "d")
