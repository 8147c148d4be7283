"""Prompts as read and as given to a model."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class RawPrompt:
    """One prompt of a data set, with the file's category and label where it has them."""

    dataset: str
    text: str
    category: str | None = None
    label: str | None = None

    @property
    def sha256(self) -> str:
        """Identity of the text within its data set."""
        return hashlib.sha256(self.text.encode()).hexdigest()


@dataclass(frozen=True)
class Prompt(RawPrompt):
    """A prompt with the exact text and token ids given to the models; prompt_id is 0 until it is stored."""

    formatted: str = ""
    input_ids: tuple[int, ...] = ()
    prompt_id: int = 0
