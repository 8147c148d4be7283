"""From a prompt to the exact text and token ids that a model is given."""

from collections.abc import Iterable

from transformers import PreTrainedTokenizerBase

from snql.errors import InputError
from snql.prompts.types import Prompt, RawPrompt

TEMPLATES = ("auto", "chat", "tulu", "plain")
"""``chat`` is the tokenizer's own template; ``auto`` is chat if the tokenizer has one and plain otherwise."""


def resolve_template(name: str, tokenizer: PreTrainedTokenizerBase) -> str:
    """What ``auto`` stands for; raises InputError for an unknown template, or chat without one."""
    if name not in TEMPLATES:
        raise InputError(f"--template {name!r} is not known: use {', '.join(TEMPLATES)}")
    has_template = tokenizer.chat_template is not None
    if name == "chat" and not has_template:
        raise InputError("--template chat: the tokenizer has no chat template; use --template plain or tulu")
    return ("chat" if has_template else "plain") if name == "auto" else name


def format_prompts(prompts: Iterable[RawPrompt], tokenizer: PreTrainedTokenizerBase, template: str) -> list[Prompt]:
    """Apply a resolved template to each prompt; raises InputError for a prompt that becomes no tokens."""
    return [_format(prompt, tokenizer, template) for prompt in prompts]


def _format(prompt: RawPrompt, tokenizer: PreTrainedTokenizerBase, template: str) -> Prompt:
    text = _apply(prompt.text, tokenizer, template)
    # A chat template writes the special tokens itself.
    ids = tokenizer(text, add_special_tokens=template != "chat").input_ids
    if not ids:
        raise InputError(f"prompt {prompt.text[:40]!r} of {prompt.dataset} becomes no tokens: remove it")
    return Prompt(prompt.dataset, prompt.text, prompt.category, prompt.label, text, tuple(ids))


def _apply(text: str, tokenizer: PreTrainedTokenizerBase, template: str) -> str:
    if template == "plain":
        return text
    if template == "tulu":
        return f"<|user|>\n{text.strip()}\n<|assistant|>\n"
    messages = [{"role": "user", "content": text}]
    formatted = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    return str(formatted)
