"""Templates: the exact token ids given to a model."""

from pathlib import Path
from typing import Any

import pytest

from snql.errors import InputError
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.models.tokenizer import load_tokenizer
from snql.prompts.chat import ChatTemplate
from snql.prompts.options import PromptOptions
from snql.prompts.template import Formatter, format_prompts, resolve_template
from snql.prompts.types import RawPrompt, Turn


def test_tulu_gives_the_published_ids(
    oracle_models: dict[str, LoadedModel], oracle_prompts: list[dict[str, Any]]
) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    formatter = Formatter(tokenizer, "tulu")
    found = format_prompts([RawPrompt("x", row["prompt"]) for row in oracle_prompts], formatter)
    assert [prompt.formatted for prompt in found] == [row["formatted"] for row in oracle_prompts]
    assert [list(prompt.input_ids) for prompt in found] == [row["input_ids"] for row in oracle_prompts]


def test_auto_is_plain_without_a_chat_template(oracle_models: dict[str, LoadedModel]) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    assert resolve_template("auto", tokenizer) == "plain"
    with pytest.raises(InputError, match="the tokenizer has no chat template"):
        resolve_template("chat", tokenizer)
    with pytest.raises(InputError, match="`template` 'alpaca' is not known"):
        resolve_template("alpaca", tokenizer)


def test_a_chat_template_writes_its_own_special_tokens() -> None:
    tokenizer = load_models({"m": "demo:base"}, LoadOptions(device="cpu"))["m"].base.tokenizer
    assert resolve_template("auto", tokenizer) == "chat"
    found = Formatter(tokenizer, "chat", ChatTemplate(tokenizer)).format(RawPrompt("x", "How do I bake bread?"))
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How do I bake bread?"}], add_generation_prompt=True, return_dict=False
    )
    assert list(found.input_ids) == expected
    assert found.input_ids.count(tokenizer.bos_token_id) == 1


def test_special_tokens_are_not_added_to_a_chat_templates_own(oracle_models: dict[str, LoadedModel]) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    assert tokenizer("Hi").input_ids[0] == tokenizer.bos_token_id, "this tokenizer adds one by itself"
    template = "{{ bos_token }}{{ messages[0].content }}"
    found = Formatter(tokenizer, "chat", ChatTemplate(tokenizer, template)).format(RawPrompt("x", "Hi"))
    assert found.input_ids.count(tokenizer.bos_token_id) == 1
    assert Formatter(tokenizer, "plain").format(RawPrompt("x", "Hi")).input_ids == found.input_ids


DIALOGUE = RawPrompt(
    "x",
    "Human: Hello\n\nAssistant: Hi\n\nHuman: More?",
    turns=(Turn("user", "Hello"), Turn("assistant", "Hi"), Turn("user", "More?")),
)
LONE = RawPrompt("x", "More?")


def formatted(prompt: RawPrompt, model: str = "demo:base", **options: Any) -> str:
    found = Formatter.of(PromptOptions(("x",), **options), load_tokenizer(model)).format(prompt)
    assert (found.text, found.turns, found.dataset) == (prompt.text, prompt.turns, prompt.dataset)
    return found.formatted


def test_dialogues_become_messages_of_the_chat_template() -> None:
    tokenizer = load_tokenizer("demo:base")
    messages = [{"role": turn.role, "content": turn.content} for turn in DIALOGUE.turns]
    found = Formatter(tokenizer, "chat", ChatTemplate(tokenizer)).format(DIALOGUE)
    assert list(found.input_ids) == tokenizer.apply_chat_template(
        messages, add_generation_prompt=True, return_dict=False
    )
    assert "Human:" not in found.formatted


@pytest.mark.parametrize(
    ("template", "options", "lone", "dialogue"),
    [
        ("plain", {}, "More?", "Human: Hello\n\nAssistant: Hi\n\nHuman: More?\n\nAssistant:"),
        (
            "plain",
            {"system": "Be kind.", "response_prefix": " Sure"},
            "Be kind.\n\nMore? Sure",
            "System: Be kind.\n\nHuman: Hello\n\nAssistant: Hi\n\nHuman: More?\n\nAssistant: Sure",
        ),
        (
            "tulu",
            {"response_prefix": "Sure"},
            "<|user|>\nMore?\n<|assistant|>\nSure",
            "<|user|>\nHello\n<|assistant|>\nHi</s>\n<|user|>\nMore?\n<|assistant|>\nSure",
        ),
        (
            "tulu",
            {"system": "Be kind."},
            "<|system|>\nBe kind.\n<|user|>\nMore?\n<|assistant|>\n",
            "<|system|>\nBe kind.\n<|user|>\nHello\n<|assistant|>\nHi</s>\n<|user|>\nMore?\n<|assistant|>\n",
        ),
        (
            "chat",
            {"system": "Be kind.", "response_prefix": "Sure"},
            "<s><|system|>\nBe kind.\n<|user|>\nMore?\n<|assistant|>\nSure",
            "<s><|system|>\nBe kind.\n<|user|>\nHello\n<|assistant|>\nHi</s><|user|>\nMore?\n<|assistant|>\nSure",
        ),
    ],
)
def test_system_text_prefix_and_turns(template: str, options: dict[str, str], lone: str, dialogue: str) -> None:
    assert formatted(LONE, template=template, **options) == lone
    assert formatted(DIALOGUE, template=template, **options) == dialogue


def test_the_prefix_is_the_end_of_the_prompts_tokens() -> None:
    tokenizer = load_tokenizer("demo:base")
    plain, prefixed = (
        Formatter(tokenizer, "chat", ChatTemplate(tokenizer), response_prefix=prefix).format(LONE).input_ids
        for prefix in ("", "Sure")
    )
    assert prefixed[: len(plain)] == plain
    assert tokenizer.decode(list(prefixed[len(plain) :])) == "Sure"


def test_the_options_system_text_replaces_the_dialogues_own() -> None:
    own = RawPrompt("x", "System: Mine.\n\nHuman: Hello", turns=(Turn("system", "Mine."), Turn("user", "Hello")))
    assert formatted(own) == "<s><|system|>\nMine.\n<|user|>\nHello\n<|assistant|>\n"
    assert formatted(own, system="Yours.") == "<s><|system|>\nYours.\n<|user|>\nHello\n<|assistant|>\n"


def test_a_template_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.jinja"
    file.write_text(
        "{{ bos_token }}{% for m in messages %}[{{ m.role }}: {{ m.content }}]{% endfor %}"
        "{% if add_generation_prompt %}[assistant: {% endif %}"
    )
    assert formatted(DIALOGUE, template=str(file), response_prefix="Ok") == (
        "<s>[user: Hello][assistant: Hi][user: More?][assistant: Ok"
    )
    for content, message in (
        ("{% if %}", r"the chat template has a syntax error in line 1 \(Expected an expression"),
        ("{{ raise_exception('no\nsystem') }}", r"fails on prompt 'More\?' of x \(no system\)"),
        ("{{ messages.__class__.__mro__ }}", "the chat template fails"),
        ("{{ messages[-1].content }}", "`system`: the chat template leaves the system text out"),
    ):
        file.write_text(content)
        with pytest.raises(InputError, match=message):
            formatted(LONE, template=str(file), system="Be kind.")
    with pytest.raises(InputError, match="`template` none.jinja cannot be read"):
        formatted(LONE, template="none.jinja")
    file.write_text("{# nothing #}")
    with pytest.raises(InputError, match="leaves out, or changes, the user's text of prompt 'More\\?' of x"):
        formatted(LONE, template=str(file))
