"""Dialogues: message lists and marked-up text as turns, and turns as readable text."""

import ast
import json
import re
import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Any

from snql.prompts.types import Turn

ROLES = {
    "system": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "model": "assistant",
    "bot": "assistant",
}
"""Names of roles in data sets, and what they are to a chat template."""

_NAMES = {"system": "System", "user": "Human", "assistant": "Assistant"}
_ANSWER = "\n\nAssistant:"
LISTS = ("messages", "conversations", "conversation")
"""Where data sets keep the messages of a dialogue: names of columns, and keys of an object."""

_EXPECTED = '[{"role": "user", "content": "…"}, …]'
_MESSAGES = re.compile(
    r"""\s*\[\s*\{\s*(["'])(role|from|content|value)\1\s*:"""
    rf"""|\s*[\[{{].*?(["'])(role|from)\3\s*:\s*(["'])({"|".join(ROLES)})\5""",
    re.DOTALL | re.IGNORECASE,
)
"""Messages in a text that cannot be parsed, such as one that is cut off."""

_MARKER = re.compile(r"\n\n(Human|Assistant): ?")


def from_messages(value: Any) -> tuple[Turn, ...]:
    """The turns of a message list (OpenAI's role and content, ShareGPT's from and value; also as JSON text).

    Raises ValueError if it is no such list or a role is unknown.
    """
    given = _expected(value, _EXPECTED)
    messages = messages_in(given) or given
    if not isinstance(messages, list) or not all(isinstance(message, dict) for message in messages):
        raise ValueError(f"it is not a list of messages: {_EXPECTED} is expected")
    return merged([_turn(message) for message in messages])


def messages_in(value: Any) -> list[Any] | None:
    """The messages in a list of them, a list of one such list, an object that has one, or one message alone; or None.

    A system text beside the list, as ShareGPT has it, is the first message.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        (value,) = value
    if isinstance(value, dict):
        own = next((value[name] for name in LISTS if isinstance(value.get(name), list)), None)
        system = value.get("system")
        first = [{"role": "system", "content": system}] if own and isinstance(system, str) and system.strip() else []
        value = [value] if own is None else [*first, *own]
    return value if _are_messages(value) else None


def _are_messages(value: Any) -> bool:
    """Whether it is a list of objects which all have a speaker, of whom one is known, and of which some say something.

    Raises no error for any value.
    """
    if not isinstance(value, list) or not value or not all(isinstance(each, dict) for each in value):
        return False
    speakers = [each.get("role", each.get("from")) for each in value]
    says = any(key in each for each in value for key in ("content", "value"))
    return says and all(isinstance(name, str) for name in speakers) and any(name.lower() in ROLES for name in speakers)


def from_history(value: Any) -> tuple[Turn, ...]:
    """The turns of a message list, or of pairs of what the user and what the assistant said (also as JSON text).

    Raises ValueError if it is neither.
    """
    history = _expected(value, f'[["what the user said", "the answer"], …] or {_EXPECTED}')
    if not isinstance(history, list) or not all(isinstance(pair, list | tuple) for pair in history):
        return from_messages(history)
    if not all(len(pair) == 2 and all(said is None or isinstance(said, str) for said in pair) for pair in history):
        raise ValueError("it holds a pair that is not two texts, the user's and the assistant's")
    spoken = [(role, said) for pair in history for role, said in zip(("user", "assistant"), pair, strict=True) if said]
    return merged([Turn(role, said) for role, said in spoken])


def holds_messages(text: str) -> bool:
    """Whether a text is messages, such as a table without types has them, or begins as they do and is cut off."""
    if not text.lstrip().startswith(("[", "{")):
        return False
    try:
        return messages_in(_parsed(text)) is not None
    except ValueError:
        return _MESSAGES.match(text) is not None


def holds_texts(text: str) -> bool:
    """Whether a text is a JSON list of two texts or more."""
    if not text.lstrip().startswith("["):
        return False
    try:
        value = _parsed(text)
    except ValueError:
        return False
    return isinstance(value, list) and len(value) > 1 and all(isinstance(each, str) for each in value)


def _expected(value: Any, shape: str) -> Any:
    """What a text stands for, another value as it is; raises ValueError for a text that stands for nothing."""
    if not isinstance(value, str):
        return value
    try:
        return _parsed(value)
    except ValueError as error:
        raise ValueError(f"{shape} is expected, and this is no JSON ({error})") from error


def _parsed(text: str) -> Any:
    """What a text of JSON stands for, or of Python, as tables write it that know no lists. Raises ValueError."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about backslashes
                return ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            raise ValueError(str(error)) from None


def marked_prompt(text: str) -> tuple[str, tuple[Turn, ...]]:
    """What stands before the last answer of an HH-RLHF dialogue, as it stands there, and its turns.

    A turn begins with a blank line and ``Human:`` or ``Assistant:``; without any user's text there is no prompt. Raises
    ValueError if there is no turn.
    """
    whole = "\n\n" + text.strip()
    before, answer, _ = whole.rpartition(_ANSWER)
    given = (before if answer else whole).strip()
    first, *rest = _MARKER.split("\n\n" + given)
    if not rest and not answer:
        raise ValueError("it has no turn that begins with Human: or Assistant:")
    pairs = zip(rest[::2], rest[1::2], strict=True)
    turns = [Turn("user" if role == "Human" else "assistant", content) for role, content in pairs]
    given_turns = merged([Turn("user", first.strip()), *turns] if first.strip() else turns)
    if not any(turn.role == "user" and turn.content.strip() for turn in given_turns):
        return "", ()
    return (given if len(given_turns) > 1 else as_text(given_turns)), given_turns


def marked_answer(text: str) -> str:
    """The last answer of an HH-RLHF dialogue; "" if there is none."""
    _, answer, given = ("\n\n" + text.strip()).rpartition(_ANSWER)
    return given.strip() if answer else ""


def without_answer(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Everything up to and including the last user turn; () if there is none, or it is blank."""
    last = max((at for at, turn in enumerate(turns) if turn.role == "user"), default=-1)
    return tuple(turns[: last + 1]) if last >= 0 and turns[last].content.strip() else ()


def as_text(turns: Sequence[Turn]) -> str:
    """Turns as people read them; a single user turn is just its text."""
    if len(turns) == 1 and turns[0].role == "user":
        return turns[0].content.strip()
    return "\n\n".join(f"{_NAMES[turn.role]}: {turn.content}" for turn in turns).strip()


def _turn(message: dict[str, Any]) -> Turn:
    role = str(message.get("role", message.get("from"))).lower()
    if role not in ROLES:
        raise ValueError(f"a message has the role {role!r}: known roles are {', '.join(ROLES)}")
    content = message.get("content", message.get("value"))
    return Turn(ROLES[role], _content(content))


def _content(content: Any) -> str:
    """A message's text; a list of parts is joined, a message without text is empty."""
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        parts = [part.get("text") if isinstance(part, dict) else part for part in content]
        texts = [part for part in parts if isinstance(part, str)]
        if len(texts) == len(parts):
            return "".join(texts)
    raise ValueError("a message holds something other than text")


def merged(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """Turns of one speaker in a row as one turn: chat templates expect speakers to take turns."""
    runs = [(role, list(run)) for role, run in groupby(turns, key=lambda turn: turn.role)]
    return tuple(Turn(role, "\n\n".join(turn.content for turn in run)) for role, run in runs)
