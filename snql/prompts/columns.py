"""Which columns of a row hold the prompt, its category and its label."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from snql.errors import SURROGATE, InputError
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
    "ContextString": "{companion}\n\n---\n\n{text}",
    "context": "{companion}\n\n---\n\n{text}",
    "input": "{text}\n\n{companion}",
}
"""Columns that belong to a recognised one, and how the two make one prompt (as HarmBench does it, and Alpaca)."""

SYSTEM = ("system", "system_prompt", "system_message")
HISTORY = "history"

CATEGORIES = ("category", "SemanticCategory", "semantic_category", "FunctionalCategory")
LABELS = ("label", "is_safe")

_ASIDE = {"goal": ("behavior",)}
"""Prompt columns that are something else beside another: JailbreakBench's Behavior names the goal."""

_MARKED = ("chosen", "rejected")
_LAYOUTS = {name.lower(): layout for name, layout in COMPANIONS.items()}


@dataclass
class Columns:
    """Reads the rows of one prompt set, and counts what it does that its reader must know of.

    source: what the user wrote, for messages. column: the one that the user named, which stands alone; None: a
    recognised column takes its companions along.
    """

    dataset: str
    source: str
    column: str | None = None
    _counted: Counter[str] = field(default_factory=Counter)

    def prompt(self, row: Row) -> RawPrompt | None:
        """The prompt of one row, or None if it has no text.

        Raises InputError for a missing column, one that holds no text, and a companion that cannot be taken along.
        """
        name = self._name(row)
        text, turns = self._read(row[name], name)
        if not text.strip():
            return None
        companions = [key for key in row if _is_companion(key) and key != name and row[key] not in (None, "", [])]
        if self.column is None:
            text, turns = self._with_companions(row, companions, text, turns)
        else:
            self._counted.update(
                f"have a column {key!r} that is not used: `prompt_column` stands alone" for key in companions
            )
        if SURROGATE.search(text):  # a cell of a table can hold messages as JSON
            raise InputError(
                f"prompt file {self.source}: column {name!r} holds half of a surrogate pair, which is no text: repair "
                "the file"
            )
        if self.column is None:
            self._counted.update(f"also have a column {key!r}, which is not used" for key in _rivals(row, name))
        return RawPrompt(self.dataset, text, category_of(row), label_of(row), turns if len(turns) > 1 else ())

    @property
    def notes(self) -> tuple[str, ...]:
        """What was taken along, or left."""
        return tuple(f"{self.dataset}: {n} rows {what}" for what, n in self._counted.items())

    def _name(self, row: Row) -> str:
        """The row's prompt column."""
        if self.column is not None and self.column in row:
            return self.column
        found = [] if self.column else next((keys for name in COLUMNS if (keys := _keys(row, name))), [])
        if len(found) > 1 and found[0] not in COLUMNS:
            raise InputError(f"prompt file {self.source}: which of the columns {', '.join(found)}? use `prompt_column`")
        if not found:
            wanted = f"column {self.column!r}" if self.column else "known prompt column"
            names = ", ".join(map(str, row))
            raise InputError(f"prompt file {self.source} has no {wanted}: its columns are {names}; use `prompt_column`")
        return found[0]

    def _read(self, value: Any, name: str) -> tuple[str, tuple[Turn, ...]]:
        """Text, and the turns of a dialogue."""
        if value is None or value == "":
            return "", ()
        listed = isinstance(value, list) or dialogue.messages_in(value) is not None
        if listed or name.lower() in (*dialogue.LISTS, *_MARKED):
            return self._dialogue(value, name)
        if not isinstance(value, str):
            raise InputError(f"prompt file {self.source}: column {name!r} holds a {type(value).__name__}, not text")
        if dialogue.holds_messages(value):
            self._counted[f"hold messages as text in the column {name!r}: they are read as dialogues"] += 1
            return self._dialogue(value, name)
        if dialogue.holds_texts(value):
            self._counted[
                f"hold a list of texts in the column {name!r}: it is asked as it is written, not by turns"
            ] += 1
        return value, ()

    def _dialogue(self, value: Any, name: str) -> tuple[str, tuple[Turn, ...]]:
        """A dialogue without its last answer, as text and as turns."""
        try:
            if isinstance(value, str) and name.lower() in _MARKED and not dialogue.holds_messages(value):
                return dialogue.marked_prompt(value)
            turns = dialogue.without_answer(dialogue.from_messages(value))
        except ValueError as error:
            raise self._bad(name, "no dialogue", error) from error
        return dialogue.as_text(turns), turns

    def _with_companions(
        self, row: Row, companions: Sequence[str], text: str, turns: tuple[Turn, ...]
    ) -> tuple[str, tuple[Turn, ...]]:
        """The prompt with what belongs to it."""
        given = list(turns or (Turn("user", text),))
        last = max(at for at, turn in enumerate(given) if turn.role == "user")
        for key in companions:
            if (layout := _LAYOUTS.get(key.lower())) is not None and (companion := self._text(row, key)).strip():
                given[last] = Turn("user", layout.format(text=given[last].content, companion=companion))
                where = "after" if layout.startswith("{text}") else "before"
                self._counted[f"have a column {key!r}: it is taken along, {where} the prompt"] += 1
        whole = (*self._system(row, companions, given), *given)
        if history := self._history(row, companions):
            first = sum(turn.role == "system" for turn in whole)
            whole = (*whole[:first], *history, *whole[first:])
        if whole == (turns or (Turn("user", text),)):
            return text, turns
        merged = dialogue.merged(whole)
        return (dialogue.as_text(merged), merged) if len(merged) > 1 else (merged[0].content, ())

    def _system(self, row: Row, companions: Sequence[str], turns: Sequence[Turn]) -> list[Turn]:
        """The system turn that a row has in a column of its own."""
        texts = {key: self._text(row, key) for key in companions if key.lower() in SYSTEM}
        found = {key: text for key, text in texts.items() if text.strip()}
        own = [turn.content for turn in turns if turn.role == "system"]
        if len({*found.values(), *own}) > 1:
            raise InputError(
                f"prompt file {self.source}: a row has two system texts, that of {', '.join(found)} and another: name "
                "the prompt's column with `prompt_column`, which then stands alone"
            )
        self._counted.update(f"have a column {key!r}: it is taken along, as the system text" for key in found)
        return [] if own else [Turn("system", text) for text in list(found.values())[:1]]

    def _history(self, row: Row, companions: Sequence[str]) -> list[Turn]:
        """The turns before the prompt that a row has in a column of their own."""
        key = next((key for key in companions if key.lower() == HISTORY), None)
        if key is None:
            return []
        try:
            turns = dialogue.from_history(row[key])
        except ValueError as error:
            raise self._bad(key, "no earlier turns", error) from error
        if turns:
            self._counted[f"have a column {key!r}: it is taken along, as earlier turns"] += 1
        return list(turns)

    def _text(self, row: Row, key: str) -> str:
        value = row[key]
        if not isinstance(value, str):
            raise InputError(
                f"prompt file {self.source}: column {key!r} belongs to the prompt, but holds a {type(value).__name__}, "
                "not text: name the prompt's column with `prompt_column`, which then stands alone"
            )
        return value

    def _bad(self, name: str, what: str, error: ValueError) -> InputError:
        reason = " ".join(str(error).split())
        return InputError(f"prompt file {self.source}: column {name!r} holds {what}: {reason}")


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


def _first(row: Row, names: Sequence[str]) -> Any:
    keys = (_key(row, name) for name in names)
    return next((row[key] for key in keys if key is not None and row[key] not in (None, "")), None)


def _key(row: Row, name: str) -> str | None:
    """The row's own spelling of a column name."""
    return next(iter(_keys(row, name)), None)


def _keys(row: Row, name: str) -> list[str]:
    """The columns of that name, spelled so or otherwise, first the one that is spelled so."""
    found = [key for key in row if key.lower() == name.lower()]
    return sorted(found, key=lambda key: key != name)


def _rivals(row: Row, name: str) -> list[str]:
    """Other columns that could have been the prompt's, and hold something else; an answer beside a prompt is none."""
    aside = ("chosen", *_ASIDE.get(name.lower(), ()))
    names = {column.lower() for column in COLUMNS}.difference(aside)
    used = row[name]
    return [key for key in row if key.lower() in names and key != name and row[key] not in (None, "", [], used)]


def _is_companion(name: str) -> bool:
    return name.lower() in (*_LAYOUTS, *SYSTEM, HISTORY)
