"""Which columns of a row hold the prompt, its category and its label."""

from collections.abc import Sequence
from typing import Any

from snql.errors import InputError
from snql.prompts import dialogue
from snql.prompts.files import Row
from snql.prompts.types import RawPrompt, Turn

COLUMNS = (
    "prompt",
    "goal",
    "Behavior",
    "question",
    "instruction",
    "messages",
    "conversations",
    "conversation",
    "chosen",
)
"""Columns recognised when --prompt-column is not given, in this order, in capitals or not."""

COMPANIONS = {
    "behavior": ("ContextString", "{companion}\n\n---\n\n{text}"),
    "instruction": ("input", "{text}\n\n{companion}"),
}
"""Columns that belong to a recognised one, and how the two make one prompt (as HarmBench does it, and Alpaca)."""

CATEGORIES = ("category", "SemanticCategory", "semantic_category", "FunctionalCategory")
LABELS = ("label", "is_safe")

_MESSAGES = ("messages", "conversations", "conversation")
_MARKED = ("chosen", "rejected")


def prompt_of(row: Row, column: str | None, dataset: str, source: str) -> RawPrompt | None:
    """The prompt of one row, or None if it has no text.

    A recognised column takes its companion along (ContextString before Behavior, input after instruction); a column
    that the user named stands alone. Raises InputError for a missing column or one that holds no text.
    """
    name = _column(row, column, source)
    text, turns = _read(row, name, source, alone=column is not None)
    _check_text(text, name, source)
    if not text.strip():
        return None
    return RawPrompt(dataset, text, category_of(row), label_of(row), turns)


def category_of(row: Row) -> str | None:
    """The row's category; of one flag a category (BeaverTails), the names of those that are set."""
    value = _first(row, CATEGORIES)
    if isinstance(value, dict):
        return ", ".join(str(name) for name, flag in value.items() if flag is True) or None
    return None if value is None or value == "" else str(value)


def label_of(row: Row) -> str | None:
    """The row's label; ``is_safe`` becomes safe or unsafe."""
    value = _first(row, LABELS)
    if _key(row, "label") is None and str(value).lower() in ("true", "false"):
        return "safe" if str(value).lower() == "true" else "unsafe"
    return None if value is None or value == "" else str(value)


def _column(row: Row, column: str | None, source: str) -> str:
    if column is not None and column in row:
        return column
    known = None if column else next((key for name in COLUMNS if (key := _key(row, name)) is not None), None)
    if known is None:
        wanted = f"column {column!r}" if column else "known prompt column"
        raise InputError(
            f"prompt file {source} has no {wanted}: its columns are {', '.join(map(str, row))}; use `prompt_column`"
        )
    return known


def _read(row: Row, name: str, source: str, *, alone: bool) -> tuple[str, tuple[Turn, ...]]:
    value = row[name]
    if value is None or value == "":
        return "", ()
    if isinstance(value, list) or name.lower() in (*_MESSAGES, *_MARKED):
        return _dialogue(value, name, source)
    if not isinstance(value, str):
        raise InputError(f"prompt file {source}: column {name!r} holds a {type(value).__name__}, not text")
    return (value if alone else _with_companion(row, name, value)), ()


def _dialogue(value: Any, name: str, source: str) -> tuple[str, tuple[Turn, ...]]:
    """A dialogue without its last answer, as text and as turns; a lone user turn needs no turns."""
    try:
        if isinstance(value, str) and name.lower() in _MARKED:
            text, turns = dialogue.marked_prompt(value)
        else:
            turns = dialogue.without_answer(dialogue.from_messages(value))
            text = dialogue.as_text(turns)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"prompt file {source}: column {name!r} holds no dialogue: {reason}") from error
    return text, turns if len(turns) > 1 else ()


def _with_companion(row: Row, name: str, text: str) -> str:
    companion, layout = COMPANIONS.get(name.lower(), ("", ""))
    key = _key(row, companion)
    value = row[key] if key is not None else None
    if not isinstance(value, str) or not value.strip() or not text.strip():
        return text
    return layout.format(text=text, companion=value)


def _check_text(text: str, name: str, source: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"prompt file {source}: column {name!r} holds half of a surrogate pair, which is no text: repair the file"
        ) from error


def _first(row: Row, names: Sequence[str]) -> Any:
    keys = (_key(row, name) for name in names)
    return next((row[key] for key in keys if key is not None and row[key] not in (None, "")), None)


def _key(row: Row, name: str) -> str | None:
    """The row's own spelling of a column name."""
    if name in row:
        return name
    return next((key for key in row if key.lower() == name.lower()), None)
