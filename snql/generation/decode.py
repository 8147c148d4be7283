"""The decode loop: greedy decoding of a batch by anything that gives next-token logits."""

from collections.abc import Callable, Sequence
from typing import Protocol

import torch

from snql.generation.rules import Rules
from snql.generation.sampling import check_finite
from snql.generation.stream import Stream
from snql.generation.types import Completion
from snql.models.loaded import LoadedModel

_COMPACT_BELOW = 0.75
"""Finished rows leave the batch once less than this share of it is still writing: copying a cache has a cost."""


class Writer(Protocol):
    """Gives next-token logits for rows of text that grow: a plain model, or a patched one with its donor."""

    def logits(self) -> torch.Tensor:
        """Logits of the next token of each row: Float[Tensor, "rows vocabulary"]."""

    def push(self, tokens: torch.Tensor) -> None:
        """Add one token to each row."""

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows."""


Tick = Callable[[int], None]
"""Called after each step with the number of tokens that it wrote."""


def no_tick(_: int) -> None:
    """Report nothing."""


def decode(
    writer: Writer, texts: Sequence[Sequence[int]], max_new_tokens: int, rules: Rules, tick: Tick = no_tick
) -> list[Completion]:
    """Write greedily until every row ends or has ``max_new_tokens``; completions are in row order.

    texts: what the writer has been given, as token ids. Raises RunError if logits are not finite.
    """
    written: list[list[int]] = [[] for _ in texts]
    rows = list(range(len(texts)))
    live = set(rows) if max_new_tokens > 0 else set()
    while live:
        logits = writer.logits()
        so_far = [] if rules.repetition.off else [[*texts[row], *written[row]] for row in rows]
        tokens = rules.repetition.adjusted(logits, so_far).argmax(dim=-1)
        check_finite(logits)
        tick(len(live))
        for row, token in zip(rows, tokens.tolist(), strict=True):
            if row in live:
                written[row].append(token)
                if len(written[row]) == max_new_tokens or rules.ended(written[row]):
                    live.discard(row)
        if not live:
            break
        writer.push(tokens)
        rows = _compact(writer, rows, live, tokens.device)
    return [Completion(tuple(ids), "stop" if ids and rules.ended(ids) else "length") for ids in written]


def generate(
    model: LoadedModel,
    texts: Sequence[Sequence[int]],
    max_new_tokens: int,
    tick: Tick = no_tick,
    rules: Rules | None = None,
) -> list[Completion]:
    """Let one model write a completion for each row of token ids, greedily, as one batch.

    rules: None for the plain ones, which end completions at the model's end tokens.
    """
    return decode(Stream(model, texts), texts, max_new_tokens, rules or Rules(model.base.end_ids), tick)


def _compact(writer: Writer, rows: list[int], live: set[int], device: torch.device) -> list[int]:
    if len(live) >= _COMPACT_BELOW * len(rows):
        return rows
    kept = [index for index, row in enumerate(rows) if row in live]
    writer.select(torch.tensor(kept, device=device))
    return [rows[index] for index in kept]
