"""Which token positions are scored."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from snql.errors import InputError

Positions = Literal["generating", "generated", "prompt", "last-prompt"]
POSITIONS: tuple[Positions, ...] = get_args(Positions)


@dataclass(frozen=True)
class Text:
    """One prompt with its completion, and the positions to score.

    token_ids: prompt and completion; scored: positions in token_ids, ascending.
    """

    prompt_id: int
    token_ids: tuple[int, ...]
    scored: tuple[int, ...]


def needs_completions(positions: Positions) -> bool:
    """Whether these positions lie in a completion, so that a model must write first."""
    return positions in ("generating", "generated")


def parse_positions(name: str) -> Positions:
    """Return the name as one of POSITIONS; raise InputError otherwise."""
    for known in POSITIONS:
        if name == known:
            return known
    raise InputError(f"`positions` {name!r} is not known: use {', '.join(POSITIONS)}")


def scored_range(positions: Positions, n_prompt: int, n_completion: int, *, ended: bool) -> range:
    """The scored positions of a text; ``ended`` says whether the completion's last token is an end of sequence.

    With prompt tokens 0..t and completion tokens t+1..t+m (docs/method.md): ``generating`` is t..t+m-1, the
    positions whose output is the next completion token (arXiv 2406.14144, equation 3); ``generated`` is t+1..t+m
    without an end-of-sequence token; ``prompt`` is 0..t; ``last-prompt`` is t.
    """
    last = n_prompt - 1
    if positions == "generating":
        return range(last, last + n_completion)
    if positions == "generated":
        return range(last + 1, last + 1 + n_completion - ended)
    return range(last + 1) if positions == "prompt" else range(last, last + 1)


def text_to_score(
    prompt_id: int,
    prompt: Sequence[int],
    completion: Sequence[int],
    positions: Positions,
    end_ids: frozenset[int],
) -> Text:
    """The text that both models read, and its scored positions."""
    ended = len(completion) > 0 and completion[-1] in end_ids
    scored = scored_range(positions, len(prompt), len(completion), ended=ended)
    # Causal models: what follows the last scored position cannot change it, so nobody needs to read it.
    read = (*prompt, *completion)[: scored.stop] if len(scored) else tuple(prompt)
    return Text(prompt_id, read, tuple(scored))
