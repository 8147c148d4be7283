"""Chat templates: their options, their dates, what they leave out, and how they fail."""

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from snql.errors import InputError
from snql.prompts.chat import parse_options, read_template
from snql.prompts.dates import date_note, noted_day
from snql.prompts.notes import notes_on
from snql.prompts.options import PromptOptions
from snql.prompts.template import Formatter
from snql.prompts.types import Prompt, RawPrompt, Turn

from .made import CHATML, LLAMA2, byte_tokenizer

HELLO = RawPrompt("x", "Hello there")
THINKING = CHATML + "{% if enable_thinking is defined and not enable_thinking %}<think></think>{% endif %}"
DATED = "{{ strftime_now('%d %b %Y') }}: " + CHATML
META = "{% if not date_string is defined %}{% set date_string = '26 Jul 2024' %}{% endif %}{{ date_string }}: " + CHATML


def put(
    chat: Any, *prompts: RawPrompt, day: date | None = None, **options: Any
) -> tuple[list[Prompt], tuple[str, ...]]:
    made = Formatter.of(PromptOptions(("x",), **options), byte_tokenizer(chat), day=day)
    found = [made.format(prompt) for prompt in prompts or (HELLO,)]
    return found, notes_on(made, prompts or (HELLO,))


def test_options_reach_the_template() -> None:
    (plain,), _ = put(THINKING)
    (found,), notes = put(THINKING, template_options=("enable_thinking=false",))
    assert found.formatted == plain.formatted + "<think></think>"
    assert notes == ()
    (same,), notes = put(THINKING, template_options=("enable_thinking=true",))
    assert same == plain
    assert notes == ("`template_options` enable_thinking: the chat template gives the same text without it",)
    with pytest.raises(
        InputError, match="`template_options` enable_think: the chat template has no such variable; it has"
    ):
        put(THINKING, template_options=("enable_think=false",))
    with pytest.raises(InputError, match="`template_options` messages"):
        put(THINKING, template_options=("messages=[]",))
    for template in ("plain", "tulu"):
        with pytest.raises(InputError, match=f"are for chat templates: `template` {template} is none"):
            put(THINKING, template=template, template_options=("enable_thinking=false",))


def test_values_of_options() -> None:
    given = ("a=false", "b=True", "c=3", 'd={"e": [1]}', "f=some words", "g=")
    assert parse_options(given) == {"a": False, "b": True, "c": 3, "d": {"e": [1]}, "f": "some words", "g": ""}
    for bad in (("a",), ("=1",), ("a b=1",), ("a=1", "a=2")):
        with pytest.raises(InputError, match="write KEY=VALUE"):
            parse_options(bad)


def test_a_template_that_writes_the_date() -> None:
    (found,), notes = put(DATED, day=date(2026, 3, 1))
    assert found.formatted.startswith("01 Mar 2026: <|im_start|>")
    assert notes == (date_note(date(2026, 3, 1)),)
    assert "`template_date` 2026-03-01" in notes[0]
    assert noted_day(("something else", *notes)) == date(2026, 3, 1)
    (today,), _ = put(DATED)
    assert today.formatted.startswith(date.today().strftime("%d %b %Y"))
    (fixed,), notes = put(DATED, day=date(2026, 3, 1), template_date="2024-12-31")
    assert fixed.formatted.startswith("31 Dec 2024: ")
    assert notes == ()
    assert noted_day(notes) is None


def test_a_template_that_takes_a_date() -> None:
    (found,), notes = put(META, template_date="2024-12-31")
    assert found.formatted.startswith("31 Dec 2024: ")
    (constant,), notes = put(META)
    assert constant.formatted.startswith("26 Jul 2024: ")
    assert notes == ()
    with pytest.raises(InputError, match="`template_date` 2024-12-31: the chat template writes no date"):
        put(CHATML, template_date="2024-12-31")
    with pytest.raises(InputError, match="`template_date` '31.12.2024' is no day: write YYYY-MM-DD"):
        put(DATED, template_date="31.12.2024")


def test_a_template_without_a_generation_prompt() -> None:
    without = CHATML.replace("{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}", "")
    _, (note,) = put(without)
    assert "adds no generation prompt" in note
    assert repr("<|im_start|>assistant\n") in note
    for fine in (CHATML, LLAMA2):
        assert put(fine)[1] == ()
    _, (note,) = put("{{ messages[0]['content'] }}{% if messages | length > 1 %}{{ 1 / 0 }}{% endif %}")
    assert "nothing tells the model to answer" in note


@pytest.mark.parametrize(
    ("chat", "message"),
    [
        ("{{ 1 / 0 }}", "fails on prompt 'Hello there' of x (division by zero)"),
        ("{{ messages[3]['content'] + 1 }}", "fails on prompt 'Hello there' of x"),
        ("{{ 'a'.encode('nope') }}", "fails on prompt 'Hello there' of x"),
        ("{{ range(10 ** 20) }}", "fails on prompt 'Hello there' of x"),
        ("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "fails on prompt 'Hello there' of x"),
        ("{% for m in messages %}{% for c in m['content'] %}{{ c['text'] }}{% endfor %}{% endfor %}", "leaves out"),
        ("{{ messages[0]['content'] | upper }}", "leaves out, or changes, the user's text"),
        ({"rag": CHATML, "tool_use": CHATML}, "several chat templates (rag, tool_use) and no default: save the one"),
        ("", "is empty"),
    ],
)
def test_templates_fail_in_one_line(chat: Any, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as caught:
        put(chat, template="chat")
    assert "\n" not in str(caught.value)


def test_no_turn_is_lost() -> None:
    dialogue = RawPrompt("x", "A", turns=(Turn("system", "Be kind."), Turn("user", "A"), Turn("user", "B")))
    with pytest.raises(InputError, match="leaves out, or changes, the system's text"):
        put("{{ messages[1]['content'] }}{{ messages[2]['content'] }}", dialogue)
    with pytest.raises(InputError, match="leaves out, or changes, the user's text"):
        put("{{ messages[0]['content'] }}{{ messages[2]['content'] }}", dialogue)


def test_templates_from_files(tmp_path: Path) -> None:
    """As tokenizers are saved: beside an adapter, say."""
    (tmp_path / "chat_template.jinja").write_text(LLAMA2)
    for name, template in (
        ("a", LLAMA2),
        ("b", [{"name": "rag", "template": "x"}, {"name": "default", "template": LLAMA2}]),
    ):
        (tmp_path / f"{name}.json").write_text(json.dumps({"chat_template": template, "eos_token": "x"}))
    for file in ("chat_template.jinja", "a.json", "b.json"):
        (found,), _ = put(CHATML, template=str(tmp_path / file))
        assert found.formatted == "<s>[INST] Hello there [/INST]"
    for content, message in (
        ("{}", "has no chat_template"),
        ("[]", "is no JSON of a tok"),
        ("{", "is no JSON of a tok"),
    ):
        (tmp_path / "c.json").write_text(content)
        with pytest.raises(InputError, match=message):
            read_template(str(tmp_path / "c.json"))


def test_templates_of_roles_need_the_models() -> None:
    with pytest.raises(InputError, match="`template` after is the template of the run's model of that role"):
        put(CHATML, template="after")


def test_a_template_that_knows_the_date_but_does_not_write_it() -> None:
    """As those of Llama 3.1 with a date of their own: no note, and a format that is made up is refused."""
    (found,), notes = put("{% if system_day %}{{ strftime_now('%Y') }}{% endif %}" + CHATML)
    assert found == put(CHATML)[0][0]
    assert notes == ()
    with pytest.raises(InputError, match="in a format that it makes up"):
        put("{% set f = '%Y' %}{{ strftime_now(f) }}" + CHATML)
    (found,), _ = put(
        "\n{%- for m in messages %}{{ m['content'] }} {{ strftime_now(\"%Y\") }}{% endfor %}", day=date(2026, 3, 1)
    )
    assert found.formatted == "Hello there 2026"


def asked(*said: str) -> RawPrompt:
    """A dialogue in which the user and the assistant take turns."""
    turns = (Turn(("user", "assistant")[at % 2], text) for at, text in enumerate(said))
    return RawPrompt("x", said[-1], turns=tuple(turns))


def test_an_answer_that_is_left_out_is_noted() -> None:
    deaf = CHATML.replace("{% for m in messages %}", "{% for m in messages if m['role'] == 'user' %}")
    _, notes = put(deaf, asked("A?", "An answer", "B?"), HELLO)
    assert notes == ("the chat template leaves out, or changes, what the assistant said earlier, in 1 prompts",)
    assert put(CHATML, asked("A?", "An answer", "B?"))[1] == ()


def test_a_turn_that_is_said_again_within_another_is_not_lost() -> None:
    last = "<|im_start|>user\n{{ messages[-1]['content'] }}<|im_end|>\n<|im_start|>assistant\n"
    for said in (("Why?", "X", "I ask: Why?"), ("Why?", "X", "Why?")):
        with pytest.raises(InputError, match="leaves out, or changes, the user's text"):
            put(last, asked(*said))
        (found,), _ = put(CHATML, asked(*said))
        assert found.formatted.count("Why?") == 2
    (found,), _ = put(last, RawPrompt("x", "Why?"), response_prefix="Why?")
    assert found.formatted.count("Why?") == 2
    with pytest.raises(InputError, match="leaves out, or changes, the user's text"):
        put("{{ messages[-1]['content'] }}!", asked("Why?", "X", "B"), response_prefix="Why?")


def test_an_end_after_the_generation_prompt_is_left_out() -> None:
    (found,), notes = put(CHATML + "{{ eos_token }}", response_prefix="Sure")
    (usual,), _ = put(CHATML, response_prefix="Sure")
    assert found == usual
    assert [note for note in notes if "ends every text with '</s>': it is left out" in note] == list(notes) != []
    for ends in (
        "{{ messages[0]['content'] }}</s>",
        "{{ messages[0]['content'] }}{% if add_generation_prompt %}</s>{% endif %}",
    ):
        (found,), notes = put(ends)
        assert found.formatted == "Hello there</s>", "the end of the user's turn calls for the answer"
        assert not any("is left out" in note for note in notes)


def test_a_template_that_writes_the_time() -> None:
    (found,), notes = put("{{ strftime_now('%d %b %Y, %H:%M') }}: " + CHATML, template_date="2024-12-31")
    assert found.formatted.startswith("31 Dec 2024, 00:00: ")
    assert notes == ("the chat template writes the time of day: it is taken to be 00:00",)
    _, notes = put("{{ strftime_now('%H') }}: " + CHATML)
    assert notes == ("the chat template writes the time of day: it is taken to be 00:00",)
    assert noted_day(notes) is None
