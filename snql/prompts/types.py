"""Prompts as read and as given to a model."""

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Turn:
    """One turn of a dialogue; ``role`` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True)
class RawPrompt:
    """One prompt of a data set, with the file's category and label where it has them.

    ``text`` is what people and judges read, and the prompt's identity; ``turns`` are those of a dialogue, () for a
    prompt that is one user turn.
    """

    dataset: str
    text: str
    category: str | None = None
    label: str | None = None
    turns: tuple[Turn, ...] = ()

    @property
    def sha256(self) -> str:
        """Identity of the text within its data set."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    @property
    def messages(self) -> tuple[Turn, ...]:
        """The turns, also of a prompt that is a single one."""
        return self.turns or (Turn("user", self.text),)


@dataclass(frozen=True)
class Prompt(RawPrompt):
    """A prompt with the exact text and token ids given to the models; prompt_id is 0 until it is stored."""

    formatted: str = ""
    input_ids: tuple[int, ...] = ()
    prompt_id: int = 0
