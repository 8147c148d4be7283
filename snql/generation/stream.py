"""One model reading rows of growing text with its own key-value cache."""

from collections.abc import Sequence

import torch
from transformers import DynamicCache

from snql.generation.batch import left_padded
from snql.models.loaded import LoadedModel


class Stream:
    """A model's reading of a batch of texts that grow by a token a step.

    Each token is read once: :meth:`logits` reads what has been added since the last call.
    """

    def __init__(self, model: LoadedModel, texts: Sequence[Sequence[int]]) -> None:
        batch = left_padded(texts, model.base.pad_id, model.base.device)
        self.model = model
        self._mask = batch.mask
        self._unread = batch.ids
        self._positions = batch.positions
        self._cache = DynamicCache(config=model.base.model.config)

    def logits(self) -> torch.Tensor:
        """Read the unread tokens; return the logits of the next one: Float[Tensor, "rows vocabulary"]."""
        return self.model.logits(self._unread, self._mask, self._positions, self._cache)[:, -1, :]

    @property
    def n_rows(self) -> int:
        """Rows that are being read."""
        return len(self._mask)

    def push(self, tokens: torch.Tensor) -> None:
        """Add one token to each row: Int[Tensor, "rows"]."""
        self._unread = tokens[:, None]
        self._positions = self._positions[:, -1:] + 1
        self._mask = torch.cat([self._mask, torch.ones_like(self._unread)], dim=1)

    def select(self, rows: torch.Tensor) -> None:
        """Keep only these rows, in this order: Int[Tensor, "kept"]."""
        self._unread = self._unread[rows]
        self._positions = self._positions[rows]
        self._mask = self._mask[rows]
        self._cache.batch_select_indices(rows)
