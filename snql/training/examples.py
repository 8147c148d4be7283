"""From the rows of data files to dialogues and preferences, in the shapes that public data sets have."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snql.errors import InputError
from snql.prompts import dialogue
from snql.prompts.columns import Columns
from snql.prompts.files import Row
from snql.prompts.types import RawPrompt, Turn

ANSWERS = ("completion", "response", "output", "answer")
"""Columns with an answer, beside one with a prompt."""

DIALOGUES = ("messages", "conversations", "conversation")
CHOSEN, REJECTED = "chosen", "rejected"


@dataclass(frozen=True)
class Dialogue:
    """Turns that end with an answer; every answer is to be learnt."""

    turns: tuple[Turn, ...]


@dataclass(frozen=True)
class Preference:
    """A prompt's turns, and two answers, the preferred one first."""

    prompt: tuple[Turn, ...]
    chosen: str
    rejected: str


def dialogue_of(row: Row, source: str) -> Dialogue | None:
    """A message list, a prompt with an answer, or an HH-RLHF ``chosen``; None where prompt or answer is blank.

    Raises InputError for a row of another shape.
    """
    name = next((name for name in DIALOGUES if row.get(name) is not None), None)
    if name is not None:
        return _answered(_turns(row[name], name, source))
    answer = next((row[name] for name in ANSWERS if row.get(name) is not None), None)
    if answer is not None:
        prompt = Columns(source, source).prompt(row)
        return None if prompt is None else _answered((*prompt.messages, Turn("assistant", _answer(answer, source))))
    if row.get(CHOSEN) is not None:
        asked, chosen = _side(row, CHOSEN, source)
        return _answered((*asked, Turn("assistant", chosen)))
    raise InputError(
        f"data {source} has no answers: its columns are {', '.join(map(str, row))}; needed is one of "
        f"{', '.join((*DIALOGUES, *ANSWERS))}"
    )


def preference_of(row: Row, source: str) -> Preference | None:
    """``chosen`` and ``rejected``, with a ``prompt`` or in dialogues of their own; None where it says nothing.

    That is where a part is blank, both answers are the same, or they answer other prompts. Raises InputError for a row
    of another shape.
    """
    if CHOSEN not in row or REJECTED not in row:
        raise InputError(
            f"data {source} has no preferences: its columns are {', '.join(map(str, row))}; needed are chosen and "
            "rejected"
        )
    if row[CHOSEN] is None or row[REJECTED] is None:
        return None
    (prompt, chosen), (other, rejected) = (_side(row, name, source) for name in (CHOSEN, REJECTED))
    blank = not prompt or not chosen.strip() or not rejected.strip()
    return None if blank or prompt != other or chosen == rejected else Preference(prompt, chosen, rejected)


def why_no_dialogue(row: Row, source: str) -> str:  # noqa: ARG001
    """Why a row is no dialogue, in a few words."""
    return "no answer to a prompt"


def why_no_preference(row: Row, source: str) -> str:
    """Why a row is no preference, in a few words."""
    if row[CHOSEN] is None or row[REJECTED] is None:
        return "an answer is missing"
    (prompt, chosen), (other, rejected) = (_side(row, name, source) for name in (CHOSEN, REJECTED))
    if not prompt:
        return "no prompt"
    if not chosen.strip() or not rejected.strip():
        return "a blank answer"
    return "answers to different prompts" if prompt != other else "two equal answers"


def raw_prompt(turns: Sequence[Turn], source: str = "") -> RawPrompt:
    """Turns as a prompt, which a lone user turn is without turns."""
    text = dialogue.as_text(turns)
    lone = len(turns) == 1 and turns[0].role == "user"
    return RawPrompt(source, turns[0].content if lone else text, turns=() if lone else tuple(turns))


def _side(row: Row, name: str, source: str) -> tuple[tuple[Turn, ...], str]:
    """Prompt and answer of one of the two; () and "" where there is no answer."""
    value = row[name]
    if isinstance(value, list):
        turns = _turns(value, name, source)
        answered = _answered(turns)
        if answered is not None:
            return answered.turns[:-1], answered.turns[-1].content
        prompt = _prompt(row, source) if turns and turns[-1].role == "assistant" else ()
        return prompt, turns[-1].content if prompt else ""
    if not isinstance(value, str):
        raise InputError(f"data {source}: column {name!r} holds a {type(value).__name__}, not text or messages")
    if any(key in row for key in ("prompt", "question", "instruction")):
        return _prompt(row, source), value
    try:
        _, prompt = dialogue.marked_prompt(value)
    except ValueError as error:
        raise InputError(f"data {source}: column {name!r} holds no dialogue: {error}; add a column prompt") from error
    return prompt, dialogue.marked_answer(value)


def _prompt(row: Row, source: str) -> tuple[Turn, ...]:
    found = Columns(source, source).prompt({key: value for key, value in row.items() if key not in (CHOSEN, REJECTED)})
    return () if found is None else found.messages


def _turns(value: Any, name: str, source: str) -> tuple[Turn, ...]:
    try:
        return dialogue.from_messages(value)
    except (ValueError, json.JSONDecodeError) as error:
        reason = " ".join(str(error).split())
        raise InputError(f"data {source}: column {name!r} holds no dialogue: {reason}") from error


def _answer(value: Any, source: str) -> str:
    if isinstance(value, list):
        return "\n\n".join(turn.content for turn in _turns(value, "answer", source) if turn.role == "assistant")
    return str(value)


def _answered(turns: Sequence[Turn]) -> Dialogue | None:
    """The turns up to the last answer with text; None without one that follows a user's text."""
    ends = [at for at, turn in enumerate(turns) if turn.role == "assistant" and turn.content.strip()]
    asked = [at for at, turn in enumerate(turns) if turn.role == "user" and turn.content.strip()]
    if not ends or not asked or asked[0] > ends[-1]:
        return None
    return Dialogue(tuple(turns[: ends[-1] + 1]))
