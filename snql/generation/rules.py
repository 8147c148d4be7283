"""How a completion goes on, and what ends it: the same for whoever writes, plain or patched, greedily or drawn."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import NoRepeatNGramLogitsProcessor, PreTrainedTokenizerBase, RepetitionPenaltyLogitsProcessor

from snql.errors import RunError
from snql.generation.options import WritingOptions
from snql.models.loaded import Base, LoadedModel


@dataclass(frozen=True)
class Repetition:
    """What keeps a text from repeating itself: transformers' own logits processors, as its ``generate`` applies them.

    The tokens of the prompt count as those of the completion do. Each row has its own text here, without padding:
    ``generate`` counts the padding of a batch, too, so that what it writes depends on the other prompts.
    """

    penalty: float = 1.0
    ngram: int = 0

    @property
    def off(self) -> bool:
        """Whether nothing is changed."""
        return self.penalty == 1 and self.ngram == 0

    def adjusted(self, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        """The logits after the texts so far, in float32: Float[Tensor, "rows vocabulary"], a text for each row.

        Raises RunError if no token is left that would not repeat an n-gram.
        """
        if self.off or not texts:
            return logits
        width = max(map(len, texts))
        # A token of a text can stand before it, too: the penalty asks which tokens a text has, not how often.
        ids = torch.tensor([[text[0]] * (width - len(text)) + list(text) for text in texts], device=logits.device)
        found = logits.to(torch.float32)
        if self.penalty != 1:
            found = RepetitionPenaltyLogitsProcessor(self.penalty)(ids, found)
        if self.ngram:
            found = self._without_repeats(ids, found, texts)
        return found

    def _without_repeats(self, ids: torch.Tensor, logits: torch.Tensor, texts: Sequence[Sequence[int]]) -> torch.Tensor:
        processor = NoRepeatNGramLogitsProcessor(self.ngram)
        width = ids.shape[1]
        rows = [
            processor(ids[row : row + 1, width - len(text) :], logits[row : row + 1]) for row, text in enumerate(texts)
        ]
        found = torch.cat(rows)
        if bool(found.amax(dim=-1).isneginf().any()):
            raise RunError(f"every token would repeat an n-gram of {self.ngram}: raise `no_repeat_ngram`")
        return found


NO_LIMIT = Repetition()


class StopTexts:
    """Texts of which each ends a completion, once what has been written contains it.

    Special tokens have no text, unless a stop text names one: ``s`` is not in ``</s>``.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> None:
        self._tokenizer = tokenizer
        self._texts = tuple(texts)
        self._special_ids = frozenset(tokenizer.all_special_ids)
        self._special = tuple(text for text in texts if any(token in text for token in tokenizer.all_special_tokens))
        # A token has at least a byte; one more, for a tokenizer that drops the space before the first one.
        self._longest = max((len(text.encode()) for text in texts), default=0) + 1

    def __call__(self, written: Sequence[int]) -> bool:
        """Whether the last token has brought one."""
        if not self._texts:
            return False
        plain = [token for token in written[-2 * self._longest :] if token not in self._special_ids]
        tail = self._decode(plain[-self._longest :], special=False)
        if any(text in tail for text in self._texts):
            return True
        whole = self._decode(written[-self._longest :], special=True) if self._special else ""
        return any(text in whole for text in self._special)

    def cut(self, token_ids: Sequence[int], n_given: int = 0) -> str:
        """The text of a completion without special tokens, up to the first stop text in it.

        n_given: how many of its tokens it began with; those do not end it.
        """
        text = self._decode(token_ids, special=False)
        if not self._texts:
            return text
        start = len(self._decode(token_ids[:n_given], special=False))
        places = [text.index(stop, start) for stop in self._texts if stop in text[start:]]
        return text[: min(places)] if places else self._cut_at_special(token_ids, text)

    def _cut_at_special(self, token_ids: Sequence[int], text: str) -> str:
        """Of a stop text with special tokens in it, which the completion's text does not show."""
        whole = self._decode(token_ids, special=True)
        places = [whole.index(stop) for stop in self._special if stop in whole]
        if not places:
            return text
        starts = [len(self._decode(token_ids[:n], special=True)) for n in range(len(token_ids))]
        n_before = max(n for n, start in enumerate(starts) if start <= min(places))
        return self._decode(token_ids[:n_before], special=False) + whole[starts[n_before] : min(places)]

    def _decode(self, token_ids: Sequence[int], *, special: bool) -> str:
        return str(self._tokenizer.decode(list(token_ids), skip_special_tokens=not special))


@dataclass(frozen=True)
class Rules:
    """How tokens are chosen beside a model's logits, and what ends a completion beside its length."""

    end_ids: frozenset[int]
    repetition: Repetition = Repetition()
    stops: StopTexts | None = None

    @classmethod
    def of(cls, writing: WritingOptions, base: Base) -> "Rules":
        """For completions that a model writes."""
        repetition = Repetition(writing.repetition_penalty, writing.no_repeat_ngram)
        return cls(base.end_ids, repetition, StopTexts(base.tokenizer, writing.stop) if writing.stop else None)

    def text(self, model: LoadedModel, token_ids: Sequence[int], n_given: int = 0) -> str:
        """The text of a completion of the model, without the stop text that ended it; n_given: as for ``cut``."""
        return model.text(token_ids) if self.stops is None else self.stops.cut(token_ids, n_given)

    def ended(self, written: Sequence[int]) -> bool:
        """Whether the last token that was written ends the completion."""
        return written[-1] in self.end_ids or (self.stops is not None and self.stops(written))
