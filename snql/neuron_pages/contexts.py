"""The text around a token, as far as the database has it.

Scored tokens are stored one by one with their text. Of the prompt before the first of them there is the text that
the models were given, without the borders of tokens.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from snql.db.connection import Database
from snql.neuron_pages.model import ContextToken, Example

CHARACTERS_A_TOKEN = 5
"""How much text of the prompt stands for one token that is not stored."""

# first_scored, n_prompt: positions; tail: those of the prompt's tokens that are scored, which the text ends with.
WINDOWS = """
WITH spots AS (
    SELECT unnest($prompts::INTEGER[]) AS prompt_id, unnest($positions::INTEGER[]) AS at
),
here AS (
    SELECT * FROM scored_tokens WHERE run_id = $run_id AND prompt_id IN (SELECT prompt_id FROM spots)
),
activations AS (
    SELECT prompt_id, position, before, after FROM token_activations
    WHERE run_id = $run_id AND layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
)
SELECT s.prompt_id, s.at, t.position, t.token, a.before::DOUBLE AS before, a.after::DOUBLE AS after
FROM spots AS s
JOIN here AS t ON t.prompt_id = s.prompt_id AND t.position BETWEEN s.at - $context AND s.at + $context
LEFT JOIN activations AS a ON a.prompt_id = t.prompt_id AND a.position = t.position
ORDER BY s.prompt_id, s.at, t.position
"""

PROMPTS = """
WITH wanted AS (SELECT DISTINCT unnest($prompts::INTEGER[]) AS prompt_id),
bounds AS (
    SELECT prompt_id, min(position) AS first, max(position) AS last
    FROM scored_tokens SEMI JOIN wanted USING (prompt_id) WHERE run_id = $run_id GROUP BY prompt_id
),
given AS (
    SELECT prompt_id, formatted, len(input_ids) AS n_prompt
    FROM run_prompts SEMI JOIN wanted USING (prompt_id) WHERE run_id = $run_id
),
tails AS (
    SELECT t.prompt_id, string_agg(t.token, '' ORDER BY t.position) AS tail
    FROM scored_tokens AS t JOIN given AS g USING (prompt_id) JOIN bounds AS b USING (prompt_id)
    WHERE t.run_id = $run_id AND b.first > 0 AND t.position < g.n_prompt GROUP BY t.prompt_id
)
SELECT
    b.prompt_id, coalesce(p.dataset, '') AS dataset, b.first, b.last,
    coalesce(g.formatted, p.text, '') AS text, coalesce(t.tail, '') AS tail
FROM bounds AS b
LEFT JOIN prompts AS p USING (prompt_id)
LEFT JOIN given AS g USING (prompt_id)
LEFT JOIN tails AS t USING (prompt_id)
"""


class Spot(NamedTuple):
    """A scored token: its prompt and its position in it."""

    prompt_id: int
    position: int


class _Prompt(NamedTuple):
    """dataset, and the first and last scored position. head: the text before the first."""

    dataset: str
    first: int
    last: int
    head: str


class Contexts:
    """Examples of one neuron in one run, read once each."""

    def __init__(self, db: Database, neuron: dict[str, int | None], context: int) -> None:
        """neuron: run_id, layer, expert and neuron; context: tokens on each side."""
        self._db = db
        self._neuron = neuron
        self._context = context
        self._known: dict[Spot, Example] = {}

    def of(self, spots: Sequence[Spot]) -> list[Example]:
        """The example of each spot, in order."""
        if missing := [spot for spot in dict.fromkeys(spots) if spot not in self._known]:
            self._read(missing)
        return [self._known[spot] for spot in spots]

    def _read(self, spots: Sequence[Spot]) -> None:
        prompt_ids = [spot.prompt_id for spot in spots]
        positions = [spot.position for spot in spots]
        with self._db.reading() as connection:
            windows = connection.sql(
                WINDOWS,
                params={**self._neuron, "prompts": prompt_ids, "positions": positions, "context": self._context},
            ).pl()
            run = {"run_id": self._neuron["run_id"], "prompts": prompt_ids}
            found = connection.execute(PROMPTS, run).fetchall()
        prompts = {
            prompt_id: _Prompt(dataset, first, last, head_of(text, tail, first))
            for prompt_id, dataset, first, last, text, tail in found
        }
        for (prompt_id, at), window in windows.group_by("prompt_id", "at", maintain_order=True):
            spot = Spot(int(str(prompt_id)), int(str(at)))
            self._known[spot] = self._example(spot, prompts[spot.prompt_id], window)

    def _example(self, spot: Spot, prompt: _Prompt, window: pl.DataFrame) -> Example:
        rows = window.select("position", "token", "before", "after").iter_rows()
        tokens = tuple(ContextToken(*row) for row in rows)
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
