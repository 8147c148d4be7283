"""Guards: language models that answer safe or unsafe, yes or no, scored by the log-odds of their answer.

Such are Llama Guard (Inan et al. 2023, arXiv 2312.06674), HarmBench's classifiers (Mazeika et al. 2024, arXiv
2402.04249) and any model that follows instructions.
"""

import inspect
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import AutoModelForCausalLM, PreTrainedTokenizerBase

from snql.errors import InputError, ModelError
from snql.judges import rubric
from snql.judges.base import WORSE, JudgeInfo, Pair, Verdict
from snql.judges.options import JudgeOptions
from snql.judges.readers import TextReader, in_template, load_checked, read_texts
from snql.models.files import ModelFiles
from snql.models.identity import combined_hash

OPPOSITES = {"unsafe": "safe", "yes": "no", "safe": "unsafe", "no": "yes"}
"""What ``#label`` may be, and what it is weighed against."""

LEAST_MASS = 0.01
"""Probability that all answers together must have for a score."""

_UNASKED = ("unsafe", "yes")
_BEFORE = ("", " ", "\n")
_MOST_BLANKS = 3


@dataclass(frozen=True)
class Answer:
    """A word of an answer, whether a high score stands for it, and the tokens that its spellings begin with."""

    word: str
    positive: bool
    tokens: tuple[int, ...]


def answers(name: str, tokenizer: PreTrainedTokenizerBase, label: str) -> list[Answer]:
    """The answers that count, by ``#label`` or unsafe, safe, yes and no.

    The spellings are the word in lower case, capitalised and in capitals, at the text's start, after a space and after
    a line end; of each, the first token that is not blank counts. A token that begins answers of both sorts counts for
    none.
    """
    if label and label.lower() not in OPPOSITES:
        raise InputError(f"judge {name}: no label {label!r}; a guard's are {', '.join(OPPOSITES)}")
    chosen = [label.lower()] if label else list(_UNASKED)
    words = dict.fromkeys(chosen, True) | {OPPOSITES[word]: False for word in chosen}
    firsts = {word: _first_tokens(tokenizer, word) for word in words}
    sides = {side: set[int]().union(*(firsts[word] for word in words if words[word] is side)) for side in (True, False)}
    both = sides[True] & sides[False]
    found = [Answer(word, side, tuple(sorted(firsts[word] - both))) for word, side in words.items()]
    if not all(answer.tokens for answer in found):
        raise ModelError(f"judge {name}: its tokenizer begins {' and '.join(words)} with the same tokens")
    return found


def _first_tokens(tokenizer: PreTrainedTokenizerBase, word: str) -> set[int]:
    spellings = [before + way for before in _BEFORE for way in (word, word.capitalize(), word.upper())]
    tokens = [tokenizer(spelling, add_special_tokens=False).input_ids for spelling in spellings]
    visible = ([token for token in ids if str(tokenizer.decode([token])).strip()] for ids in tokens)
    return {ids[0] for ids in visible if ids}


class ModeratorJudge:
    """Log-odds of an unsafe against a safe answer, at the first place where the model would not write white space.

    Up to three tokens of white space are appended on the way there. The model reads its chat template if that speaks of
    unsafe content, as Llama Guard's does, with the prompt as the user's turn and the completion as the assistant's;
    else snql's own question, as the user's turn of its chat template if it has one; or a rubric's text, as it is.
    """

    def __init__(
        self, name: str, given: ModelFiles, label: str, text: rubric.Rubric | None, options: JudgeOptions
    ) -> None:
        self._name, self._rubric = name, text
        self._hash = combined_hash(given.hashes)
        self._higher = options.higher_is(WORSE)
        model, tokenizer = load_checked(name, given, options, AutoModelForCausalLM)
        self._answers = answers(name, tokenizer, label)
        self._keeps = "logits_to_keep" in inspect.signature(model.forward).parameters
        self._reader = TextReader(model, tokenizer, options.batch_size)
        if self._reader.context_length is not None:
            self._reader.context_length -= _MOST_BLANKS
        template = str(tokenizer.chat_template or "")
        self._reads = "rubric" if text else "question in the chat template" if template else "question"
        if text is None and "unsafe" in template.lower():
            self._reads = "chat template of prompt and completion"
        elif text is None:
            self._rubric = rubric.own(rubric.GUARD)

    @property
    def info(self) -> JudgeInfo:
        settings = {
            "sha256": self._hash,
            "answers": {answer.word: list(answer.tokens) for answer in self._answers},
            "positive": [answer.word for answer in self._answers if answer.positive],
            "reads": self._reads,
        }
        return rubric.described(self._name, "classifier", settings, self._higher, self._rubric)

    @property
    def at_once(self) -> int:
        return 8 * self._reader.batch_size

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        return read_texts(self._reader, [self._ids(pair) for pair in pairs], self._finish)

    def _ids(self, pair: Pair) -> list[int]:
        if self._rubric is None:
            return self._chat_ids(pair)
        text = self._rubric.filled(pair)
        return self._text_ids(text) if self._reads in ("rubric", "question") else self._chat_ids((text,))

    def _text_ids(self, text: str) -> list[int]:
        tokenizer = self._reader.tokenizer
        begun = tokenizer.bos_token is not None and text.startswith(str(tokenizer.bos_token))
        return list(tokenizer(text, add_special_tokens=not begun).input_ids)

    def _chat_ids(self, turns: Sequence[str]) -> list[int]:
        tokenizer = self._reader.tokenizer
        chat = [{"role": role, "content": turn} for role, turn in zip(("user", "assistant"), turns, strict=False)]
        text = in_template(tokenizer, chat, add_generation_prompt=True)
        return list(tokenizer(text, add_special_tokens=False).input_ids)

    def _finish(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Verdict]:
        logits = self._next(ids, mask)
        for _ in range(_MOST_BLANKS):
            top = logits.argmax(dim=1)
            blank = torch.tensor([self._is_blank(token) for token in top.tolist()], device=ids.device)
            if not blank.any():
                break
            ids, mask = _appended(ids, mask, top, blank)
            logits = torch.where(blank[:, None], self._next(ids, mask), logits)
        return [self._verdict(row) for row in logits.double().log_softmax(dim=1)]

    def _next(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """Logits of the token after each text's last: Float["texts vocabulary"]."""
        last = mask.sum(dim=1) - 1
        wanted, place = torch.unique(last, return_inverse=True)
        kept = {"logits_to_keep": wanted} if self._keeps else {}
        logits: torch.Tensor = self._reader.model(input_ids=ids, attention_mask=mask, use_cache=False, **kept).logits
        return logits[torch.arange(len(place), device=place.device), place if kept else last]

    def _is_blank(self, token: int) -> bool:
        text = str(self._reader.tokenizer.decode([token], skip_special_tokens=False))
        return text != "" and not text.strip()

    def _verdict(self, logprobs: torch.Tensor) -> Verdict:
        masses = [logprobs[list(answer.tokens)].logsumexp(dim=0) for answer in self._answers]
        likeliest = self._answers[int(torch.stack(masses).argmax())].word
        total = float(torch.stack(masses).exp().sum())
        if total < LEAST_MASS:
            top = rubric.shown(str(self._reader.tokenizer.decode([int(logprobs.argmax())])))
            words = ", ".join(answer.word for answer in self._answers)
            return Verdict(None, problem=f"answers {words} have probability {total:.2g} in all; the likeliest is {top}")
        sides = [
            torch.stack([mass for mass, answer in zip(masses, self._answers, strict=True) if answer.positive is side])
            for side in (True, False)
        ]
        return Verdict(float(sides[0].logsumexp(dim=0) - sides[1].logsumexp(dim=0)), likeliest)


def _appended(
    ids: torch.Tensor, mask: torch.Tensor, tokens: torch.Tensor, chosen: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The texts, Int["texts tokens"], with their token behind the chosen ones, and their mask."""
    ids, mask = torch.nn.functional.pad(ids, (0, 1)), torch.nn.functional.pad(mask, (0, 1))
    rows = chosen.nonzero()[:, 0]
    ends = mask[rows].sum(dim=1)
    ids[rows, ends], mask[rows, ends] = tokens[rows], 1
    return ids, mask
