"""Columns that belong to a prompt: none is dropped in silence."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from snql.errors import InputError
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets, read_prompt_sets
from snql.prompts.types import Turn

HI = (Turn("user", "Hello"), Turn("assistant", "Hi"))


def read(path: Path, *rows: dict[str, Any], column: str | None = None) -> PromptSets:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return read_prompt_sets(PromptOptions((str(path),), prompt_column=column))


def test_an_unnamed_index_changes_nothing(tmp_path: Path) -> None:
    """As in JailbreakBench's file, which pandas wrote with its index."""
    path = tmp_path / "jbb.csv"
    path.write_text(",Goal,Target,Behavior,Category\n0,Do it,Sure,Bad,Harm\n1,Do that,Sure,Bad,Harm\n")
    found = read_prompt_sets(PromptOptions((str(path),)))
    assert [(prompt.text, prompt.category) for prompt in found.prompts] == [("Do it", "Harm"), ("Do that", "Harm")]
    assert found.notes == ()


@pytest.mark.parametrize("column", ["prompt", "goal", "Behavior", "question", "instruction"])
@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("context", "More\n\n---\n\nAsked?"),
        ("Context", "More\n\n---\n\nAsked?"),
        ("ContextString", "More\n\n---\n\nAsked?"),
        ("input", "Asked?\n\nMore"),
        ("system", "System: More\n\nHuman: Asked?"),
        ("System_Prompt", "System: More\n\nHuman: Asked?"),
        ("system_message", "System: More\n\nHuman: Asked?"),
    ],
)
def test_companions_come_along(tmp_path: Path, column: str, name: str, expected: str) -> None:
    found = read(tmp_path / "x.jsonl", {column: "Asked?", name: "More"}, {column: "Alone?", name: ""})
    assert [prompt.text for prompt in found.prompts] == [expected, "Alone?"]
    (note,) = found.notes
    assert note.startswith(f"x.jsonl: 1 rows have a column {name!r}: it is taken along, ")
    if "system" in name.lower():
        assert found.prompts[0].turns == (Turn("system", "More"), Turn("user", "Asked?"))


@pytest.mark.parametrize(
    "history",
    [
        [["Hello", "Hi"]],
        [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}],
        [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi"}],
        json.dumps([["Hello", "Hi"]]),
        str([("Hello", "Hi")]),
    ],
)
def test_history_comes_before_the_prompt(tmp_path: Path, history: Any) -> None:
    row = {"instruction": "More?", "input": "It", "history": history, "system": "Be kind."}
    (prompt,) = read(tmp_path / "x.jsonl", row).prompts
    assert prompt.turns == (Turn("system", "Be kind."), *HI, Turn("user", "More?\n\nIt"))
    assert prompt.text == "System: Be kind.\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: More?\n\nIt"
    (lone,) = read(tmp_path / "y.jsonl", {"instruction": "More?", "history": []}).prompts
    assert (lone.text, lone.turns) == ("More?", ())


def test_companions_of_dialogues(tmp_path: Path) -> None:
    asked = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "More?"}]
    rows = (
        {"messages": asked[1:], "system": "Be kind."},
        {"messages": asked, "system": "Be kind.", "history": [["Hello", "Hi"]]},
    )
    first, second = read(tmp_path / "x.jsonl", *rows).prompts
    assert first.turns == (Turn("system", "Be kind."), Turn("user", "More?"))
    assert second.turns == (Turn("system", "Be kind."), *HI, Turn("user", "More?"))
    with pytest.raises(InputError, match="two system texts, that of system and another"):
        read(tmp_path / "x.jsonl", {"messages": asked, "system": "Be rude."})


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"prompt": "a", "context": ["x"]}, "column 'context' belongs to the prompt, but holds a list"),
        ({"prompt": "a", "system": 3}, "column 'system' belongs to the prompt, but holds a int"),
        ({"prompt": "a", "history": "hello"}, "column 'history' holds no earlier turns: [["),
        (
            {"prompt": "[{'role': 'user', 'content': 'a'}\n {'role': 'user', 'content': 'b'}]"},
            "is expected, and this is no",
        ),
        ({"prompt": "a", "history": [["x"]]}, "column 'history' holds no earlier turns: it holds a pair that is not"),
        ({"prompt": "a", "system": "x", "system_prompt": "y"}, "two system texts"),
        ({"Prompt": "a", "PROMPT": "b"}, "which of the columns Prompt, PROMPT?"),
    ],
)
def test_companions_that_cannot_come_along(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match="x.jsonl") as caught:
        read(tmp_path / "x.jsonl", row)
    assert message in str(caught.value)


def test_a_column_that_was_named_stands_alone_and_says_so(tmp_path: Path) -> None:
    row = {"instruction": "Do", "input": "it", "system": "Be kind.", "history": None}
    found = read(tmp_path / "x.jsonl", row, column="instruction")
    assert [(prompt.text, prompt.turns) for prompt in found.prompts] == [("Do", ())]
    assert found.notes == tuple(
        f"x.jsonl: 1 rows have a column {name!r} that is not used: `prompt_column` stands alone"
        for name in ("input", "system")
    )


@pytest.mark.parametrize("dump", [json.dumps, str])
@pytest.mark.parametrize("column", ["prompt", "messages", "question"])
def test_a_dialogue_in_a_cell_is_a_dialogue(tmp_path: Path, dump: Any, column: str) -> None:
    messages = [{"role": "user", "content": 'It\'s "Hello"'}, {"role": "assistant", "content": "Hi"}]
    messages.append({"role": "user", "content": "More?"})
    listed = read(tmp_path / "x.jsonl", {column: messages})
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([[column], [dump(messages)]])
    for found in (
        read_prompt_sets(PromptOptions((str(tmp_path / "x.csv"),))),
        read_prompt_sets(PromptOptions((str(tmp_path / "x.csv"),), prompt_column=column)),
        read(tmp_path / "y.jsonl", {column: dump(messages)}),
    ):
        assert [(p.text, p.turns) for p in found.prompts] == [(p.text, p.turns) for p in listed.prompts]
        assert len(found.prompts[0].turns) == 3
        assert len(found.notes) == (column != "messages")


def test_a_dialogue_that_is_cut_off_is_refused_and_a_list_of_words_is_text(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no dialogue"):
        read(tmp_path / "x.jsonl", {"prompt": '[{"role": "user", "content": "Hel'})
    (prompt,) = read(tmp_path / "x.jsonl", {"prompt": '["a", "b"] is a list'}).prompts
    assert prompt.text == '["a", "b"] is a list'


USER = {"role": "user", "content": "Hello"}
MORE = [USER, {"role": "assistant", "content": "Hi"}, {"content": "More?", "role": "user"}]
MANY = (*HI, Turn("user", "More?"))


@pytest.mark.parametrize("dump", [json.dumps, str])
@pytest.mark.parametrize(
    ("value", "turns"),
    [
        ([{"id": 1, **USER}, *MORE[1:]], MANY),
        ({"messages": MORE}, MANY),
        ({"id": "a", "conversations": [{"weight": 0, "from": "human", "value": "Hello"}]}, ()),
        ({"system": "Be kind.", "messages": [USER]}, (Turn("system", "Be kind."), Turn("user", "Hello"))),
        (USER, ()),
        ([MORE], MANY),
    ],
)
def test_a_dialogue_however_it_is_wrapped(tmp_path: Path, value: Any, turns: tuple[Turn, ...], dump: Any) -> None:
    with (tmp_path / "x.csv").open("w", newline="") as file:
        csv.writer(file).writerows([["prompt"], [dump(value)]])
    for found in (
        read_prompt_sets(PromptOptions((str(tmp_path / "x.csv"),))),
        read(tmp_path / "x.jsonl", {"prompt": dump(value)}),
        read(tmp_path / "y.jsonl", {"prompt": value}),
    ):
        (prompt,) = found.prompts
        assert prompt.turns == turns
        assert turns or prompt.text == "Hello"


@pytest.mark.parametrize(
    "text",
    [
        '{"name": "Bob", "role": "Engineer", "content": "x"}',
        '[{"from": "Berlin", "value": 3}]',
        '{"messages": ["a"]}',
        "[INST] Hello [/INST]",
        "{x} is a placeholder",
        "[]",
        "[" * 100_000,
        '{"role": "user"}',
    ],
)
def test_other_json_is_asked_as_it_is(tmp_path: Path, text: str) -> None:
    found = read(tmp_path / "x.jsonl", {"prompt": text})
    assert [(prompt.text, prompt.turns) for prompt in found.prompts] == [(text, ())]
    assert found.notes == ()


def test_a_list_of_texts_is_asked_as_it_is_and_noted(tmp_path: Path) -> None:
    found = read(tmp_path / "x.jsonl", {"prompt": '["Hi there", "Yo", "More"]'}, {"prompt": "Hello"})
    assert found.prompts[0].text == '["Hi there", "Yo", "More"]'
    (note,) = found.notes
    assert note.startswith("x.jsonl: 1 rows hold a list of texts in the column 'prompt'")


@pytest.mark.parametrize(
    ("row", "unused"),
    [
        ({"prompt": "Go on", "instruction": "Translate:"}, ["instruction"]),
        ({"messages": [USER], "question": "What?", "prompt": "Go on"}, ["messages", "question"]),
        ({"Prompt": "A", "prompt": "Go on"}, ["Prompt"]),
        ({"prompt": "Go on", "question": "Go on", "instruction": "", "chosen": "An answer"}, []),
    ],
)
def test_columns_that_compete_are_noted(tmp_path: Path, row: dict[str, Any], unused: list[str]) -> None:
    found = read(tmp_path / "x.jsonl", row)
    assert [prompt.text for prompt in found.prompts] == ["Go on"]
    assert found.notes == tuple(f"x.jsonl: 1 rows also have a column {name!r}, which is not used" for name in unused)
