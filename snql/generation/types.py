"""What generation produces, free of model libraries."""

from dataclasses import dataclass
from typing import Literal

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True)
class Completion:
    """What a model wrote: token ids as produced (end-of-sequence token included) and why it stopped."""

    token_ids: tuple[int, ...]
    finish_reason: FinishReason
