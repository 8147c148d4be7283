"""The text around a token, as far as the database has it.

Scored tokens are stored one by one with their text. Of the prompt before the first of them there is the text that
the models were given, without the borders of tokens.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any, NamedTuple

import polars as pl

from snql.db import scripts
from snql.db.activations import activations_read
from snql.db.connection import Database
from snql.neuron_pages.model import ContextToken, Example

CHARACTERS_A_TOKEN = 5
"""How much text of the prompt stands for one token that is not stored."""


class Spot(NamedTuple):
    """A scored token: its prompt and its position in it."""

    prompt_id: int
    position: int


@dataclass(frozen=True)
class StoredNeuron:
    """One neuron in one run, whose tokens are the table ``mine`` of the connection. place: where it is, and the run."""

    db: Database
    place: dict[str, int | None]

    def frame(self, name: str, **parameters: object) -> pl.DataFrame:
        """The rows of a stored query about ``mine``."""
        return self.db.frame(scripts.query(name), self._used(scripts.query(name)) | parameters)

    def _used(self, sql: str) -> dict[str, object]:
        return {name: value for name, value in self.place.items() if re.search(rf"\${name}\b", sql)}

    def rows_of_run(self, name: str, **parameters: object) -> list[tuple[Any, ...]]:
        """The rows of a stored query about the run."""
        return self.db.rows(scripts.query(name), {"run_id": self.place["run_id"], **parameters})


@contextmanager
def stored_neuron(db: Database, mine: str, place: dict[str, int | None]) -> Iterator[StoredNeuron]:
    """A neuron to ask about within the block. mine: SQL that gives its tokens, read once, for all questions."""
    with db.reading() as connection:
        with activations_read(db):
            connection.execute(f"CREATE TEMP TABLE mine AS {mine}", place)
        try:
            yield StoredNeuron(db, place)
        finally:
            connection.execute("DROP TABLE temp.mine")


class _Prompt(NamedTuple):
    """dataset, and the first and last scored position. head: the text before the first."""

    dataset: str
    first: int
    last: int
    head: str


class Contexts:
    """Examples of one neuron in one run, read once each."""

    def __init__(self, stored: StoredNeuron, context: int) -> None:
        """context: tokens on each side."""
        self._stored = stored
        self._context = context
        self._known: dict[Spot, Example] = {}

    def of(self, spot: Spot) -> Example:
        """The example of a spot that was read."""
        return self._known[spot]

    def read(self, spots: Sequence[Spot]) -> None:
        """Read those of the spots that were not read before."""
        new = [spot for spot in dict.fromkeys(spots) if spot not in self._known]
        prompt_ids = [spot.prompt_id for spot in new]
        positions = [spot.position for spot in new]
        windows = self._stored.frame("token_windows", prompts=prompt_ids, positions=positions, context=self._context)
        found = self._stored.rows_of_run("prompt_texts", prompts=prompt_ids)
        prompts = {
            prompt_id: _Prompt(dataset, first, last, head_of(text, tail, first))
            for prompt_id, dataset, first, last, text, tail in found
        }
        for place, window in groupby(windows.iter_rows(), key=lambda row: row[:2]):  # a frame each would take longer
            spot = Spot(*place)
            tokens = tuple(ContextToken(*row[2:]) for row in window)
            self._known[spot] = self._example(spot, prompts[spot.prompt_id], tokens)

    def _example(self, spot: Spot, prompt: _Prompt, tokens: tuple[ContextToken, ...]) -> Example:
        peak = next(index for index, token in enumerate(tokens) if token.position == spot.position)
        room = CHARACTERS_A_TOKEN * max(0, prompt.first - (spot.position - self._context))
        lead = end_of(prompt.head, room)
        return Example(
            spot.prompt_id,
            prompt.dataset,
            lead,
            tokens,
            peak,
            starts=tokens[0].position == prompt.first and lead == prompt.head,
            ends=tokens[-1].position == prompt.last,
            n_same=1,
        )


def head_of(text: str, tail: str, first: int) -> str:
    """The part of the prompt's text before its first scored token.

    tail: the text of the prompt's scored tokens. Where a tokenizer writes it otherwise than the prompt does,
    nothing is cut off; of a prompt that is scored from its first token, nothing is before it.
    """
    return text.removesuffix(tail) if first > 0 else ""


def end_of(text: str, room: int) -> str:
    """At most ``room`` characters from the end of a text, from the beginning of a word if there is one."""
    if len(text) <= room:
        return text
    end = text[len(text) - room :]
    begin = end.find(" ") + 1
    return end[begin:] if begin < len(end) else end
