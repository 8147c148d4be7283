"""Examples as token ids: exactly the prompt tokens that snql gives a model, and which tokens are to be learnt."""

from collections.abc import Sequence
from dataclasses import dataclass

from snql.prompts.template import Formatter
from snql.prompts.types import Turn
from snql.training.examples import Dialogue, Preference, raw_prompt

IGNORED = -100
"""Label of tokens without loss, as in transformers."""


@dataclass(frozen=True)
class Labelled:
    """Token ids of a dialogue; ``labels`` are those of its answers, IGNORED elsewhere. Both have one length."""

    input_ids: list[int]
    labels: list[int]


@dataclass(frozen=True)
class PairIds:
    """Token ids of a prompt and of two answers to it, end-of-sequence tokens included."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]


@dataclass(frozen=True)
class Encoder:
    """Tokens of one model's tokenizer and template; what is longer than ``max_length`` is cut at its end."""

    formatter: Formatter
    max_length: int

    def dialogue(self, example: Dialogue) -> Labelled | None:
        """Loss on every answer, and on the earlier ones as far as the template writes them as they were written.

        None if the cut leaves no answer.
        """
        answers = [at for at, turn in enumerate(example.turns) if turn.role == "assistant" and self._asked(example, at)]
        _, whole = self._texts(example.turns[: answers[-1]], example.turns[answers[-1]].content)
        ids = self.formatter.ids(whole)
        labels = [IGNORED] * len(ids)
        for at in answers:
            before, after = self._texts(example.turns[:at], example.turns[at].content)
            if whole.startswith(after):
                # A token that straddles a boundary belongs to what comes before it.
                start, end = _common(self.formatter.ids(before), ids), _common(self.formatter.ids(after), ids)
                labels[start:end] = ids[start:end]
        found = Labelled(ids[: self.max_length], labels[: self.max_length])
        return found if any(label != IGNORED for label in found.labels) else None

    def pair(self, example: Preference) -> PairIds | None:
        """None if the cut leaves nothing of an answer, or the same of both."""
        asked, _ = self._texts(example.prompt, "")
        prompt = self.formatter.ids(asked)
        sides = [
            self.formatter.ids(self._texts(example.prompt, text)[1]) for text in (example.chosen, example.rejected)
        ]
        length = min(_common(prompt, side) for side in sides)
        chosen, rejected = (side[length : self.max_length] for side in sides)
        if not chosen or not rejected or chosen == rejected:
            return None
        return PairIds(prompt[:length], chosen, rejected)

    @staticmethod
    def _asked(example: Dialogue, at: int) -> bool:
        """Whether a user has spoken before this turn."""
        return any(turn.role == "user" for turn in example.turns[:at]) and bool(example.turns[at].content.strip())

    def _texts(self, turns: Sequence[Turn], answer: str) -> tuple[str, str]:
        """The formatted prompt, and the same with the answer."""
        prompt = raw_prompt(turns)
        asked = self.formatter.format(prompt).formatted
        return asked, asked + self.formatter.answer(prompt, answer)


def _common(one: Sequence[int], other: Sequence[int]) -> int:
    """Length of the common beginning."""
    at = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        at += 1
    return at
