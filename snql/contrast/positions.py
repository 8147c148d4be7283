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
    raise InputError(f"--positions {name!r} is not known: use {', '.join(POSITIONS)}")


def text_to_score(
    prompt_id: int,
    prompt: Sequence[int],
    completion: Sequence[int],
    positions: Positions,
    end_ids: frozenset[int],
) -> Text:
    """The text that both models read, and its scored positions.

    With prompt tokens 0..t and completion tokens t+1..t+m (DESIGN section 1): ``generating`` is t..t+m-1, the
    positions whose output is the next completion token (arXiv 2406.14144, equation 3); ``generated`` is t+1..t+m
    without an end-of-sequence token; ``prompt`` is 0..t; ``last-prompt`` is t.
    """
    last = len(prompt) - 1
    written = len(completion)
    if positions == "generating":
        scored = range(last, last + written)
    elif positions == "generated":
        ended = written > 0 and completion[-1] in end_ids
        scored = range(last + 1, last + 1 + written - ended)
    elif positions == "prompt":
        scored = range(last + 1)
    else:
        scored = range(last, last + 1)
    # Causal models: what follows the last scored position cannot change it, so nobody needs to read it.
    read = (*prompt, *completion)[: scored.stop] if len(scored) else tuple(prompt)
    return Text(prompt_id, read, tuple(scored))
