"""Token sequences as left-padded batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Batch:
    """Left-padded rows. ``ids`` and ``mask``: Int[Tensor, "rows tokens"]; mask is 1 where a token is real."""

    ids: torch.Tensor
    mask: torch.Tensor

    @property
    def positions(self) -> torch.Tensor:
        """Position of each real token in its own row, from 0; padding gets 0, which nothing attends to."""
        return (self.mask.cumsum(-1) - 1).clamp(min=0)


def left_padded(rows: Sequence[Sequence[int]], pad_id: int, device: torch.device, width: int | None = None) -> Batch:
    """Pad rows of token ids on the left to the longest one, or to ``width``."""
    width = max(len(row) for row in rows) if width is None else width
    ids = torch.full((len(rows), width), pad_id, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for index, row in enumerate(rows):
        ids[index, width - len(row) :] = torch.tensor(row, dtype=torch.long)
        mask[index, width - len(row) :] = 1
    return Batch(ids.to(device), mask.to(device))


def by_length(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Indices in batches of at most ``batch_size``, longest first, so that little is padding."""
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    return [order[start : start + batch_size] for start in range(0, len(order), batch_size)]


def by_tokens(lengths: Sequence[int], budget: int, max_rows: int | None = None) -> list[list[int]]:
    """Indices in batches whose padded size (rows times longest) stays within ``budget``, longest first.

    A row that is longer than the budget is a batch of its own.
    """
    order = sorted(range(len(lengths)), key=lambda index: (-lengths[index], index))
    batches: list[list[int]] = []
    room = 0
    for index in order:
        if room == 0:
            batches.append([])
            room = max(1, budget // max(1, lengths[index]))
            room = room if max_rows is None else min(room, max_rows)
        batches[-1].append(index)
        room -= 1
    return batches


def batch_of_each(lengths: Sequence[int], batch_size: int | str, budget: int) -> list[int]:
    """The number of each one's batch: longest first, so that memory that does not suffice shows at once.

    batch_size: how many a batch has, or ``auto`` for as many as the budget of tokens holds.
    """
    batches = by_tokens(lengths, budget) if isinstance(batch_size, str) else by_length(lengths, batch_size)
    found = [0] * len(lengths)
    for batch, members in enumerate(batches):
        for index in members:
            found[index] = batch
    return found
