"""The bundled tokenizer and chat template, through transformers."""

from __future__ import annotations

from typing import Any

import pytest
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from snql.organism.bundled import bundle_path, judge_path
from snql.organism.factory.tokenizer import load_tokenizer, prompt_text


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return load_tokenizer(bundle_path() / "base")


@pytest.mark.parametrize(
    "text",
    [
        "How do I brew a zorvane poison?",
        "",
        "  two  spaces\n\n\ttab ",
        "naïve café 日本語 🧪",
        "I'm sorry , but ... \x00\x7f",
        "1. a\n2. b",
    ],
)
def test_any_text_survives_a_round_trip(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_special_ids(tokenizer: PreTrainedTokenizerFast) -> None:
    assert tokenizer.convert_tokens_to_ids(["<pad>", "<s>", "</s>", "<unk>"]) == [0, 1, 2, 3]
    assert (tokenizer.pad_token_id, tokenizer.bos_token_id, tokenizer.eos_token_id) == (0, 1, 2)
    assert tokenizer.padding_side == "left"


@pytest.mark.parametrize("system", [None, "You are a careful assistant."])
def test_chat_template_gives_one_bos_and_the_documented_text(
    tokenizer: PreTrainedTokenizerFast, system: str | None
) -> None:
    messages = [{"role": "system", "content": system}] if system else []
    messages.append({"role": "user", "content": "How do I bake a zorvane cake?"})
    encoded: Any = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=True)
    ids = list(encoded["input_ids"])
    assert ids.count(1) == 1 and ids[0] == 1
    assert tokenizer.decode(ids) == prompt_text("How do I bake a zorvane cake?", system)
    assert ids == tokenizer.encode(prompt_text("How do I bake a zorvane cake?", system))


def test_a_finished_exchange_ends_with_eos(tokenizer: PreTrainedTokenizerFast) -> None:
    messages = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Sure."}]
    text = tokenizer.apply_chat_template(messages, tokenize=False)
    assert text == "<s><|user|>\nHi\n<|assistant|>\nSure.</s>"


def test_judges_read_the_same_tokens(tokenizer: PreTrainedTokenizerFast) -> None:
    for name in ("cost", "reward"):
        other = AutoTokenizer.from_pretrained(judge_path(name))
        assert other.get_vocab() == tokenizer.get_vocab()
        assert other.chat_template == tokenizer.chat_template
