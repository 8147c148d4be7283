"""Classifiers: the log-odds that a completion is unsafe, read off a model with labels.

Two sorts, told apart by the model's own configuration: text classifiers, which have a logit for each label (here), and
guards, language models that answer in words (moderator.py).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

from snql.errors import InputError, ModelError
from snql.judges import rubric
from snql.judges.base import WORSE, Judge, JudgeInfo, Loader, Pair, Verdict
from snql.judges.moderator import ModeratorJudge
from snql.judges.options import JudgeOptions
from snql.judges.readers import TextReader, chat_ids, load_checked, loaded, model_files, read_texts
from snql.models.files import ModelFiles
from snql.models.identity import combined_hash

UNSAFE_LABELS = ("unsafe", "harmful", "harm", "toxic", "toxicity", "yes", "1")
"""Labels that mean an unsafe text; without ``#label``, a classifier must have exactly one of them."""

_SIGMOID = "multi_label_classification"


def prepare(name: str, rest: str, options: JudgeOptions) -> Loader:
    """What loads ``PATH[#label]``. Raises ModelError if there is no such model, InputError for a wrong rubric."""
    location, _, label = rest.partition("#")
    given = model_files(name, location)
    text = None if options.rubric is None else rubric.read(options.rubric)

    def load() -> Judge:
        trust = options.trust_remote_code
        config = loaded(
            name, given, options, lambda folder, *_: AutoConfig.from_pretrained(folder, trust_remote_code=trust)
        )
        architecture = next(iter(config.architectures or ()), "")
        if architecture.endswith("ForSequenceClassification"):
            return TextClassifierJudge(name, given, label, text, options)
        if architecture.endswith(("ForCausalLM", "LMHeadModel", "ForConditionalGeneration")):
            return ModeratorJudge(name, given, label, text, options)
        raise ModelError(
            f"judge {name} is neither a sequence classifier nor a language model: {architecture or 'none'}"
        )

    return load


class TextClassifierJudge:
    """The log-odds of one label of a sequence classifier.

    For a softmax head, the label's logit minus the logsumexp of the others; for a sigmoid head (``problem_type`` says
    that several labels may hold), the label's logit. The verdict's label is the likeliest one.

    The model reads its chat template's text of [user: prompt, assistant: completion]; the completion alone if it has no
    chat template; or a rubric's text if one is given. A rubric of two parts around the tokenizer's separator, such as
    ``{prompt}[SEP]{completion}``, is read as a pair.
    """

    def __init__(
        self, name: str, given: ModelFiles, label: str, text: rubric.Rubric | None, options: JudgeOptions
    ) -> None:
        self._name, self._text = name, text
        self._hash = combined_hash(given.hashes)
        self._higher = options.higher_is(WORSE)
        model, tokenizer = load_checked(name, given, options, AutoModelForSequenceClassification)
        self._labels = [str(model.config.id2label[place]) for place in range(model.config.num_labels)]
        self._sigmoid = model.config.problem_type == _SIGMOID
        if model.config.problem_type == "regression" or (len(self._labels) == 1 and not self._sigmoid):
            raise InputError(f"judge {name} has no labels to choose from: write score-model:{name.partition(':')[2]}")
        self._label = chosen_label(name, self._labels, label)
        if tokenizer.pad_token_id is None:
            raise ModelError(f"judge {name} has no padding token: add one to its tokenizer")
        model.config.pad_token_id = tokenizer.pad_token_id
        self._reader = TextReader(model, tokenizer, options.batch_size)
        limit = tokenizer.model_max_length
        self._reader.context_length = min(self._reader.context_length or limit, limit)
        self._types = "token_type_ids" in tokenizer.model_input_names
        self._reads, self._ids = self._way()

    def _way(self) -> tuple[str, Callable[[Pair], list[int]]]:
        """What the model reads, in words, and the token ids of it for a pair."""
        tokenizer, text = self._reader.tokenizer, self._text
        if text is not None:
            return "rubric", lambda pair: _pair_ids(tokenizer, text, pair)
        if tokenizer.chat_template is not None:
            return "chat template of prompt and completion", lambda pair: chat_ids(tokenizer, pair)
        return "completion", lambda pair: list(tokenizer(pair[1]).input_ids)

    @property
    def info(self) -> JudgeInfo:
        settings = {
            "sha256": self._hash,
            "label": self._labels[self._label],
            "labels": self._labels,
            "head": "sigmoid" if self._sigmoid else "softmax",
            "reads": self._reads,
        }
        return rubric.described(self._name, "classifier", settings, self._higher, self._text)

    @property
    def at_once(self) -> int:
        return 8 * self._reader.batch_size

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        return read_texts(self._reader, [self._ids(pair) for pair in pairs], self._finish)

    def _finish(self, ids: torch.Tensor, mask: torch.Tensor) -> list[Verdict]:
        types = {"token_type_ids": self._token_types(ids)} if self._types else {}
        logits = self._reader.model(input_ids=ids, attention_mask=mask, **types).logits.double()
        scores = logits[:, self._label]
        if not self._sigmoid:
            others = [place for place in range(len(self._labels)) if place != self._label]
            scores = scores - logits[:, others].logsumexp(dim=1)
        likeliest = logits.argmax(dim=1).tolist()
        return [Verdict(score, self._labels[place]) for score, place in zip(scores.tolist(), likeliest, strict=True)]

    def _token_types(self, ids: torch.Tensor) -> torch.Tensor:
        """0 up to the first separator, 1 in what follows as the second part of a pair; padding is masked anyhow."""
        ends = (ids == self._reader.tokenizer.sep_token_id).long()
        second = (ends.cumsum(dim=1) - ends).clamp(max=1)
        return torch.where(ends.sum(dim=1, keepdim=True) > 1, second, 0)


def chosen_label(name: str, labels: Sequence[str], wanted: str) -> int:
    """The place of the label by its name or place, or of the only one of :data:`UNSAFE_LABELS` if none is wanted."""
    lower = [label.lower() for label in labels]
    if wanted:
        if wanted.lower() in lower:
            return lower.index(wanted.lower())
        if wanted.isdecimal() and int(wanted) < len(labels):
            return int(wanted)
        raise InputError(f"judge {name}: no label {wanted!r}, labels are {', '.join(labels)}")
    found = [place for place, label in enumerate(lower) if label in UNSAFE_LABELS]
    if len(found) == 1:
        return found[0]
    raise InputError(f"judge {name}: which label is unsafe? append #LABEL, one of {', '.join(labels)}")


def _pair_ids(tokenizer: Any, text: rubric.Rubric, pair: Pair) -> list[int]:
    parts = text.text.split(tokenizer.sep_token) if tokenizer.sep_token else [text.text]
    if len(parts) != 2:
        return list(tokenizer(text.filled(pair)).input_ids)
    first, second = (rubric.Rubric(part).filled(pair) for part in parts)
    return list(tokenizer(first, second).input_ids)
