"""Dialogues in the shapes that data sets have."""

import json
from pathlib import Path

import polars as pl
import pytest

from snql.prompts.options import PromptOptions
from snql.prompts.read import read_prompt_sets
from snql.prompts.types import RawPrompt, Turn

MANY = (Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", "More?"))
SHOWN = "Human: Hello\n\nAssistant: Hi\n\nHuman: More?"


def read(path: Path, rows: list[dict[str, object]]) -> list[RawPrompt]:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read_prompt_sets(PromptOptions((str(path),))).prompts


def test_marked_text_up_to_the_last_answer(tmp_path: Path) -> None:
    dialogues = [
        "\n\nHuman: Alone \n\nAssistant: Hi",
        "\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: More?\n\nAssistant: No",
        "\n\nHuman: List:\n\n1. one\n\nAssistant: A\n\nAssistant: B",
        "\n\nHuman: One\n\nHuman: Two\n\nAssistant: Three\n\nHuman: Four\n\nAssistant:",
        "\n\nAssistant: First\n\nHuman: Then\n\nAssistant: Last",
        "\n\nHuman: Unanswered",
        "\n\nHuman: \n\nAssistant: Nothing was asked",
        "\n\nAssistant: Alone\n\nAssistant: Still alone",
    ]
    found = read(tmp_path / "hh.jsonl", [{"chosen": text, "rejected": "x"} for text in dialogues])
    assert [prompt.text for prompt in found] == [
        "Alone",
        SHOWN,
        "Human: List:\n\n1. one\n\nAssistant: A",
        "Human: One\n\nHuman: Two\n\nAssistant: Three\n\nHuman: Four",
        "Assistant: First\n\nHuman: Then",
        "Unanswered",
    ]
    assert [prompt.turns for prompt in found] == [
        (),
        MANY,
        (Turn("user", "List:\n\n1. one"), Turn("assistant", "A")),
        (Turn("user", "One\n\nTwo"), Turn("assistant", "Three"), Turn("user", "Four")),
        (Turn("assistant", "First"), Turn("user", "Then")),
        (),
    ]
    assert found[0].messages == (Turn("user", "Alone"),)
    for prompt, text in zip(found[1:5], dialogues[1:5], strict=True):
        assert prompt.text == text.rpartition("\n\nAssistant:")[0].strip()


def test_openai_and_sharegpt_messages_are_the_same_dialogue(tmp_path: Path) -> None:
    turns = [("user", "Hello"), ("assistant", "Hi"), ("user", "More?"), ("assistant", "No")]
    openai = [{"role": role, "content": text} for role, text in turns]
    sharegpt = [{"from": {"user": "human", "assistant": "gpt"}[role], "value": text} for role, text in turns]
    parts = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
    shapes: dict[str, object] = {"messages": openai, "conversations": sharegpt, "prompt": parts, "chosen": openai}
    for column, value in shapes.items():
        (found,) = read(tmp_path / f"{column}.jsonl", [{column: value}])
        assert (found.text, found.turns) == (SHOWN, MANY), column
    pl.DataFrame({"messages": [openai]}).write_parquet(tmp_path / "x.parquet")
    pl.DataFrame({"messages": [json.dumps(openai)]}).write_csv(tmp_path / "x.csv")
    for name in ("x.parquet", "x.csv"):
        (found,) = read_prompt_sets(PromptOptions((str(tmp_path / name),))).prompts
        assert (found.text, found.turns) == (SHOWN, MANY), name


def test_a_lone_user_turn_is_a_plain_prompt_and_a_system_turn_is_kept(tmp_path: Path) -> None:
    user, system = {"role": "user", "content": "Hello"}, {"role": "system", "content": "Be kind."}
    answer = {"role": "assistant", "content": "Hi"}
    rows: list[dict[str, object]] = [
        {"messages": messages} for messages in ([user], [user, answer], [system, user, answer], [system], [answer])
    ]
    found = read(tmp_path / "x.jsonl", rows)
    assert [(prompt.text, prompt.turns) for prompt in found] == [
        ("Hello", ()),
        ("System: Be kind.\n\nHuman: Hello", (Turn("system", "Be kind."), Turn("user", "Hello"))),
    ]


def test_messages_of_one_speaker_in_a_row_are_one_turn(tmp_path: Path) -> None:
    messages = [{"role": "user", "content": text} for text in ("One", "Two")]
    (found,) = read(tmp_path / "x.jsonl", [{"messages": messages}])
    assert (found.text, found.turns) == ("One\n\nTwo", ())


@pytest.mark.parametrize("role", ["human", "prompter", "USER"])
def test_names_of_the_user(tmp_path: Path, role: str) -> None:
    (found,) = read(tmp_path / "x.jsonl", [{"conversations": [{"from": role, "value": "Hello"}]}])
    assert found.text == "Hello"
