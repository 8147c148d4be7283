"""Completions of elsewhere, by prompt: rows with a prompt, or its number in the database, and what followed it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from snql.errors import InputError
from snql.prompts import dialogue
from snql.prompts.columns import COLUMNS, Columns
from snql.prompts.files import Row, read_rows
from snql.prompts.read import is_source, locate_source

TEXTS = ("completion", "response", "answer", "output", "generation")
"""Columns with what followed, recognised in this order; of messages without one, the last answer."""

IDS = "token_ids"
PROMPT_ID = "prompt_id"


@dataclass(frozen=True)
class Followed:
    """What a row says followed a prompt: a text, or the exact token ids.

    prompt: the SHA-256 of the prompt's text, or its prompt_id where the row has no text of it.
    """

    prompt: str | int
    text: str | None = None
    token_ids: tuple[int, ...] | None = None


def read_completions(source: str, column: str | None = None) -> list[Followed]:
    """The rows of a file, bundled set or data set of the hub; rows with neither text nor ids are left out.

    column: the prompt's, where the file has it; else a recognised one. Raises InputError for what cannot be read.
    """
    paths, dataset = files_of(source)
    rows = [row for path in paths for row in read_rows(path, source)]
    named = Columns(dataset, source, column if rows and column in rows[0] else None)
    return list(_followed(rows, named, source))


def files_of(source: str) -> tuple[list[Path], str]:
    """The files of a source, and its name as a data set; raises InputError if there are none."""
    if not is_source(source):
        raise InputError(f"`completions` {source}: no such file; give one with a prompt and a completion in each row")
    return locate_source(source)


def _followed(rows: list[Row], columns: Columns, source: str) -> Iterator[Followed]:
    for number, row in enumerate(rows, start=1):
        ids = _ids(row.get(IDS), f"`completions` {source}, row {number}")
        text = None if ids is not None else _text(row, source)
        prompt = _prompt(row, columns, f"`completions` {source}, row {number}")
        if prompt is not None and (ids or (text is not None and text.strip())):
            yield Followed(prompt, text, ids)


def _prompt(row: Row, columns: Columns, where: str) -> str | int | None:
    """What the row says of its prompt; None for a blank one."""
    if (
        PROMPT_ID in row
        and columns.column is None
        and not {name.lower() for name in row} & set(map(str.lower, COLUMNS))
    ):
        try:
            return int(str(row[PROMPT_ID]))
        except ValueError as error:
            raise InputError(f"{where}: {PROMPT_ID} {str(row[PROMPT_ID])[:40]!r} is no whole number") from error
    found = columns.prompt(row)
    return None if found is None else found.sha256


def _text(row: Row, source: str) -> str | None:
    name = next((name for name in TEXTS if name in row), None)
    if name is None:
        return _last_answer(row, source)
    text = row[name]
    if text is None or isinstance(text, str):
        return text
    raise InputError(f"`completions` {source}: column {name!r} holds a {type(text).__name__}, not text")


def _last_answer(row: Row, source: str) -> str | None:
    """The last turn of the row's messages, if it is an answer."""
    name = next((name for name in dialogue.LISTS if name in row), None)
    if name is None:
        raise InputError(
            f"`completions` {source} has no column with what followed: its columns are {', '.join(map(str, row))}; "
            f"name it {', '.join(TEXTS)}, {IDS} or {dialogue.LISTS[0]}"
        )
    try:
        last = dialogue.from_messages(row[name])[-1]
    except ValueError as error:
        raise InputError(f"`completions` {source}: column {name!r} holds no dialogue: {error}") from error
    return last.content if last.role == "assistant" else None


def _ids(value: Any, where: str) -> tuple[int, ...] | None:
    """Token ids, as a list or as a table without types has one."""
    if value is None or value == "":
        return None
    try:
        found = json.loads(value) if isinstance(value, str) else value
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(type(each) is int and each >= 0 for each in found):
        raise InputError(f"{where}: {IDS} {str(value)[:40]!r} is no list of whole numbers")
    return tuple(found)
