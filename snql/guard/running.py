"""``snql guard run``: decide from the prefill of one prompt, then refuse, begin safely, or answer."""

import statistics
import time
from dataclasses import dataclass

import torch

from snql.db.connection import Database
from snql.generation.decode import decode
from snql.generation.rules import Rules
from snql.generation.stream import Stream
from snql.guard.attached import Attached
from snql.guard.options import PREFIX, GuardRunOptions
from snql.guard.stored import load_guard
from snql.guard.testing import check_model, put
from snql.jobs.begin import Readers
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.prompts.types import RawPrompt

REFUSAL = "I cannot help with that."
SAFE_PREFIX = "I cannot help with that, but"


@dataclass(frozen=True)
class Guarded:
    """An answer and how it was decided on.

    probability: of a harmful answer. prefill_ms: median time of reading the prompt, with the guard and without;
    added_ms: median of the differences, pair by pair; None where it was not measured. n_neurons: how many it reads.
    """

    answer: str
    flagged: bool
    action: str
    probability: float
    threshold: float
    n_neurons: int
    n_prompt_tokens: int
    prefill_ms: float | None
    guarded_prefill_ms: float | None
    added_ms: float | None


def run(db: Database, guard: str, options: GuardRunOptions) -> Guarded:
    """Answer one prompt with a guard, of the database by its name or of a folder; nothing is stored.

    The model reads the prompt once. Raises InputError for bad input, or if the model is not the guard's own.
    """
    own = load_guard(db, guard)
    model = load_models({"before": options.model or own.model}, options.models)["before"]
    if not options.other_model:
        check_model(own, model)
    prefix = _prefix_ids(model, options.prefix or SAFE_PREFIX) if options.on == PREFIX else []
    room = len(prefix) + options.writing.max_new_tokens
    (prompt,) = put([RawPrompt("prompt", options.prompt)], own, Readers.of({"before": model}, options.models), room)
    threshold = own.threshold if options.threshold is None else options.threshold
    with model.switched_on(), own.attach(model.base.model, threshold=threshold) as attached:
        stream = _Begun(model, prompt.input_ids, attached)
        probability, flagged = float(attached.probabilities[0]), bool(attached.refused[0])
    answer = REFUSAL if options.refusal is None else options.refusal
    if flagged and options.on == PREFIX:
        stream.force(prefix)
    if not flagged or options.on == PREFIX:
        rules, begun = Rules.of(options.writing, model.base), prefix if flagged else []
        (written,) = decode(stream, [(*prompt.input_ids, *begun)], options.writing.max_new_tokens, rules)
        answer = rules.text(model, [*begun, *written.token_ids], len(begun))
    plain, guarded, added = _latency(model, prompt.input_ids, own.attach(model.base.model), options.repeats)
    return Guarded(
        answer=answer,
        flagged=flagged,
        action=options.on if flagged else "answer",
        probability=probability,
        threshold=threshold,
        n_neurons=len(own.neurons),
        n_prompt_tokens=len(prompt.input_ids),
        prefill_ms=plain,
        guarded_prefill_ms=guarded,
        added_ms=added,
    )


class _Begun(Stream):
    """A stream whose prompt has been read under a guard, which has decided."""

    def __init__(self, model: LoadedModel, ids: tuple[int, ...], attached: Attached) -> None:
        super().__init__(model, [ids])
        self._first: torch.Tensor | None = super().logits()
        attached.decide()

    def logits(self) -> torch.Tensor:
        first, self._first = self._first, None
        return super().logits() if first is None else first

    def force(self, tokens: list[int]) -> None:
        """Let the answer begin with these tokens."""
        for token in tokens:
            self.push(torch.tensor([token], device=self.model.base.device))
            self._first = super().logits()


def _prefix_ids(model: LoadedModel, prefix: str) -> list[int]:
    return list(model.base.tokenizer(prefix, add_special_tokens=False).input_ids)


def _latency(
    model: LoadedModel, ids: tuple[int, ...], attached: Attached, repeats: int
) -> tuple[float | None, float | None, float | None]:
    """Milliseconds of a prefill without the guard and with it, and what it adds: medians over pairs of prefills."""
    if not repeats:
        return None, None, None
    plain, guarded = [], []
    for _ in range(repeats):
        plain.append(_timed(model, ids, None))
        with attached:
            guarded.append(_timed(model, ids, attached))
    added = [with_guard - without for with_guard, without in zip(guarded, plain, strict=True)]
    return statistics.median(plain), statistics.median(guarded), statistics.median(added)


def _timed(model: LoadedModel, ids: tuple[int, ...], attached: Attached | None) -> float:
    stream = Stream(model, [ids])
    _wait(model)
    start = time.perf_counter()
    stream.logits()
    if attached is not None:
        float(attached.decide()[0])
    _wait(model)
    return 1000 * (time.perf_counter() - start)


def _wait(model: LoadedModel) -> None:
    if model.base.device.type == "cuda":
        torch.cuda.synchronize(model.base.device)
