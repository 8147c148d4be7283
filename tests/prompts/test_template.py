"""Templates: the exact token ids given to a model."""

from typing import Any

import pytest

from snql.errors import InputError
from snql.models.load import LoadedModel, LoadOptions, load_models
from snql.prompts.template import format_prompts, resolve_template
from snql.prompts.types import RawPrompt


def test_tulu_gives_the_published_ids(
    oracle_models: dict[str, LoadedModel], oracle_prompts: list[dict[str, Any]]
) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    found = format_prompts([RawPrompt("x", row["prompt"]) for row in oracle_prompts], tokenizer, "tulu")
    assert [prompt.formatted for prompt in found] == [row["formatted"] for row in oracle_prompts]
    assert [list(prompt.input_ids) for prompt in found] == [row["input_ids"] for row in oracle_prompts]


def test_auto_is_plain_without_a_chat_template(oracle_models: dict[str, LoadedModel]) -> None:
    tokenizer = oracle_models["base"].base.tokenizer
    assert resolve_template("auto", tokenizer) == "plain"
    with pytest.raises(InputError, match="the tokenizer has no chat template"):
        resolve_template("chat", tokenizer)
    with pytest.raises(InputError, match="--template 'alpaca' is not known"):
        resolve_template("alpaca", tokenizer)


def test_a_chat_template_writes_its_own_special_tokens() -> None:
    tokenizer = load_models({"m": "demo:base"}, LoadOptions(device="cpu"))["m"].base.tokenizer
    assert resolve_template("auto", tokenizer) == "chat"
    (found,) = format_prompts([RawPrompt("x", "How do I bake bread?")], tokenizer, "chat")
    expected = tokenizer.apply_chat_template(
        [{"role": "user", "content": "How do I bake bread?"}], add_generation_prompt=True, return_dict=False
    )
    assert list(found.input_ids) == expected
    assert found.input_ids.count(tokenizer.bos_token_id) == 1
