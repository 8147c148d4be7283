"""The tokens that directions promote and suppress: the ends of their logits."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from snql.lens.path import OutputPath

MOST_LOGITS = 64_000_000
"""Logits held at once: 256 MB in float32."""
MOST_ROWS = 32_768
"""Tokens of the vocabulary that are put into float32 at once."""


@dataclass(frozen=True)
class TopTokens:
    """ids, logits: shape (neurons, tokens), from the highest logit down, or for suppressed ones from the lowest up."""

    ids: npt.NDArray[np.int64]
    logits: npt.NDArray[np.float64]


@torch.inference_mode()
def top_tokens(path: OutputPath, written: torch.Tensor, most: int) -> tuple[TopTokens, TopTokens]:
    """The ``most`` promoted and suppressed tokens of each vector: Float32[Tensor, "hidden neurons"], as written.

    Equal logits in order of their ids. The vocabulary is read in parts, so memory does not grow with it.
    """
    directions = path.directions(written).to(path.unembedding.device)
    step = max(1, MOST_LOGITS // MOST_ROWS)
    parts = [_ends(path, directions[:, at : at + step], most) for at in range(0, directions.shape[1], step)]
    promoted, suppressed = (
        TopTokens(*(np.concatenate([getattr(part[side], name) for part in parts]) for name in ("ids", "logits")))
        for side in (0, 1)
    )
    return promoted, suppressed


def _ends(path: OutputPath, directions: torch.Tensor, most: int) -> tuple[TopTokens, TopTokens]:
    highest, lowest = _Best(most), _Best(most)
    vocabulary = path.unembedding.shape[0]
    for start in range(0, vocabulary, MOST_ROWS):
        rows = path.unembedding[start : start + MOST_ROWS].float()
        logits = (rows @ directions).T * path.scale  # neurons, tokens
        highest.add(logits, start)
        lowest.add(-logits, start)
    return highest.tokens(1), lowest.tokens(-1)


class _Best:
    """The largest values so far, with their columns."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._values: torch.Tensor | None = None
        self._ids: torch.Tensor | None = None

    def add(self, values: torch.Tensor, first: int) -> None:
        ids = torch.arange(first, first + values.shape[1], device=values.device).expand_as(values)
        if self._values is not None and self._ids is not None:
            values, ids = torch.cat([self._values, values], dim=1), torch.cat([self._ids, ids], dim=1)
        order = values.sort(dim=1, descending=True, stable=True).indices[:, : self._most]
        self._values, self._ids = values.gather(1, order), ids.gather(1, order)

    def tokens(self, sign: int) -> TopTokens:
        if self._values is None or self._ids is None:
            raise ValueError("no logits were added")
        return TopTokens(self._ids.cpu().numpy(), sign * self._values.double().cpu().numpy())
