"""What must be known of prompts as they are given to a model, and is not plain to see."""

from collections.abc import Iterator, Sequence

from snql.errors import InputError
from snql.prompts.chat import ChatTemplate
from snql.prompts.dates import date_note
from snql.prompts.markers import KNOWN, first_marker, markers_between
from snql.prompts.template import Formatter
from snql.prompts.types import RawPrompt, Turn

_SAID = "snqlplaceholder"
"""Stands for what is said, to find what a template writes around it."""

_SHOWN = 60


def notes_on(formatter: Formatter, prompts: Sequence[RawPrompt]) -> tuple[str, ...]:
    """Of prompts that have been formatted, at least one."""
    return (*_of_tokens(formatter, prompts), *_of_markers(formatter, prompts), *_of_template(formatter, prompts))


def _of_tokens(formatter: Formatter, prompts: Sequence[RawPrompt]) -> Iterator[str]:
    _, after = formatter.added
    if after:
        text = formatter.tokenizer.decode(after)
        yield f"the tokenizer ends every text with {text!r}: it is left out of prompts, which the model goes on with"
    if formatter.counted["ended"]:
        end = formatter.tokenizer.eos_token
        yield f"the chat template ends every text with {end!r}: it is left out of prompts, which the model goes on with"
    if formatter.counted["doubled"]:
        yield (
            f"{formatter.counted['doubled']} prompts begin with {formatter.tokenizer.bos_token!r} twice, which is once "
            "too much: one is left out"
        )
    held = [(prompt, found[0]) for prompt in prompts if (found := formatter.special_in(prompt))]
    if held and not formatter.special_tokens:
        prompt, token = held[0]
        yield (
            f"{len(held)} prompts hold special tokens, such as {token!r} in {prompt.text[:_SHOWN]!r}: they are given "
            "as ordinary text; with `prompt_special_tokens` they are special"
        )


def _of_markers(formatter: Formatter, prompts: Sequence[RawPrompt]) -> Iterator[str]:
    """Prompts that are put into a template although they look as if they had been put into one."""
    if formatter.template == "plain":
        return
    markers = _markers(formatter, prompts[0])
    found = ((prompt, first_marker(turn.content, markers)) for prompt in prompts for turn in prompt.messages)
    held = {prompt.sha256: (prompt, marker) for prompt, marker in found if marker is not None}
    if held:
        prompt, marker = next(iter(held.values()))
        yield (
            f"{len(held)} prompts hold what chat templates write, such as {marker!r} in {prompt.text[:_SHOWN]!r}, and "
            "are put into the template all the same: if they are complete, use `template` plain with "
            "`prompt_special_tokens`"
        )


def _markers(formatter: Formatter, prompt: RawPrompt) -> tuple[str, ...]:
    """What the formatter's template writes around a user's turn, and what others do."""
    if formatter.chat is None:
        return KNOWN
    try:
        rendered = formatter.chat.render([Turn("user", _SAID)], prompt)
    except InputError:  # it may want a system text
        return KNOWN
    ends = (text for text in (formatter.tokenizer.bos_token, formatter.tokenizer.eos_token) if text)
    return markers_between(rendered, _SAID, ends)


def _of_template(formatter: Formatter, prompts: Sequence[RawPrompt]) -> Iterator[str]:
    chat = formatter.chat
    if chat is None:
        return
    if "date" in chat.asked and not chat.is_dated:
        yield date_note(chat.day)
    if "time" in chat.asked:
        yield "the chat template writes the time of day: it is taken to be 00:00"
    if n_lost := formatter.counted["lost answers"]:
        yield f"the chat template leaves out, or changes, what the assistant said earlier, in {n_lost} prompts"
    for name in chat.options:
        if all(_rendered(formatter, prompt) == _rendered(formatter, prompt, without=name) for prompt in prompts):
            yield f"`template_options` {name}: the chat template gives the same text without it"
    if (missing := _missing_prompt(formatter, chat, prompts[0])) is not None:
        yield missing


def _rendered(formatter: Formatter, prompt: RawPrompt, without: str | None = None) -> str:
    return "" if formatter.chat is None else formatter.chat.render(formatter.turns(prompt), prompt, without=without)


def _missing_prompt(formatter: Formatter, chat: ChatTemplate, prompt: RawPrompt) -> str | None:
    """A note if nothing tells the model to answer, and an answer would begin with more than itself.

    Templates in which the user's own end calls for the answer, such as ``[/INST]``, need no generation prompt.
    """
    turns = formatter.turns(prompt)
    asked = chat.render(turns, prompt)
    if asked != chat.render(turns, prompt, add_generation_prompt=False):
        return None
    note = "the chat template adds no generation prompt (it gives the same text with and without one)"
    try:
        whole = chat.render((*turns, Turn("assistant", _SAID)), prompt, add_generation_prompt=False)
    except InputError:
        return f"{note}: nothing tells the model to answer, unless the template does so by itself"
    between, answered, _ = whole.removeprefix(asked).partition(_SAID)
    if answered and whole.startswith(asked):
        if not between.strip():
            return None
        return f"{note}: an answer begins with {between!r}, which `response_prefix` could give"
    return f"{note}: nothing tells the model to answer, unless the template does so by itself"
