"""The patched model as a model of the LM Evaluation Harness (extra ``lm-eval``).

How texts are encoded, cut and windowed is the harness's own Hugging Face model's; what is computed is snql's: texts are
read with the hooks of a patch, and answers written by the decode loop of ``snql patch``, with the donor in lockstep.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import torch
from lm_eval.models.huggingface import HFLM
from lm_eval.models.utils import handle_stop_sequences, normalize_gen_kwargs, postprocess_generated_text

from snql.capability.measures import is_greedy, token_nlls
from snql.errors import InputError
from snql.generation import budget
from snql.generation.options import SamplingOptions
from snql.generation.rules import Rules, StopTexts
from snql.patching.engine import PatchEngine
from snql.patching.passes import ModelPass
from snql.patching.reader import Reader, Text, Way
from snql.patching.rows import Task, Writing
from snql.patching.subject import Subject

Encoded = tuple[Any, list[int], list[int]]
"""A request as the harness encodes it: what it was, its context's and its continuation's tokens."""

_WINDOWS_AT_ONCE = 1 << 20
"""Of a rolling log-likelihood; how many are read at once is planned here, not by the harness."""

_SAMPLED = {"temperature", "top_p"}
_GREEDY = {"temperature", "top_p", "top_k", "num_beams", "use_cache"}
"""Arguments of generation that mean nothing to greedy decoding."""

Tick = Callable[[int, int], None]
"""Called with how many requests of how many are done."""


class HarnessModel(HFLM):  # type: ignore[misc]
    """One variant of a subject, for the harness's tasks; its methods show no progress bars."""

    def __init__(self, subject: Subject, way: Way, seed: int, tick: Tick) -> None:
        base = subject.target.base
        # Texts are cut where rotary frequencies begin to depend on a batch; otherwise the harness decides.
        length = None if subject.context is None or subject.context.rope is None else subject.context.length
        super().__init__(
            pretrained=base.model, tokenizer=base.tokenizer, batch_size=_WINDOWS_AT_ONCE, max_length=length
        )
        self._subject, self._way, self._seed, self._report = subject, way, seed, tick
        self._reader = Reader(subject)

    def get_model_info(self) -> dict[str, Any]:
        """Nothing: the database has it, and the harness would ask the hub."""
        return {}

    def loglikelihood(self, requests: Any, disable_tqdm: bool = True) -> Any:  # noqa: ARG002
        return super().loglikelihood(requests, disable_tqdm=True)

    def loglikelihood_rolling(self, requests: Any, disable_tqdm: bool = True) -> Any:  # noqa: ARG002
        return super().loglikelihood_rolling(requests, disable_tqdm=True)

    def _loglikelihood_tokens(
        self,
        requests: Sequence[Encoded],
        disable_tqdm: bool = True,  # noqa: ARG002
        override_bs: int | None = None,  # noqa: ARG002
    ) -> list[tuple[float, bool]]:
        """For each request the log-likelihood of its continuation, and whether greedy decoding would write it."""
        inputs: dict[tuple[int, ...], list[int]] = {}
        for index, (_, context, continuation) in enumerate(requests):
            # Too long a text loses its beginning, as with the harness; continuations of one token share their context.
            inputs.setdefault(tuple((context + continuation)[-(self.max_length + 1) :][:-1]), []).append(index)
        texts = [
            Text(ids, max(len(requests[index][2]) for index in asking), _key(ids)) for ids, asking in inputs.items()
        ]
        found: list[tuple[float, bool]] = [(0.0, False)] * len(requests)
        done = 0
        plan = self._reader.plan([len(text.ids) for text in texts], 1)
        for batch in plan.batches:
            for place, (logits,) in self._reader.read([texts[index] for index in batch], [self._way]):
                asking = inputs[texts[batch[place]].ids]
                for index in asking:
                    tokens = requests[index][2]
                    part = logits[len(logits) - len(tokens) :]
                    found[index] = -sum(token_nlls(part, tokens)), is_greedy(part, tokens)
                done += len(asking)
            self._report(done, len(requests))
        return found

    def generate_until(self, requests: Any, disable_tqdm: bool = True) -> list[str]:  # noqa: ARG002
        """For each request what is written after its context, up to the first of its stop texts."""
        answers = [""] * len(requests)
        groups: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(index)
        done = 0
        for asking in groups.values():
            ending = self.tok_decode(self.eot_token_id, skip_special_tokens=False)
            asked = _Asked.of(requests[asking[0]].args[1], self.max_gen_toks, ending)
            prompts = [self._prompt(requests[index].args[0], asked.max_new_tokens) for index in asking]
            for place, text in self._write(prompts, asked):
                answers[asking[place]] = text
                done += 1
                self._report(done, len(requests))
        return answers

    def _prompt(self, context: str, room: int) -> tuple[int, ...]:
        """The context's tokens, cut from the left to leave room."""
        longest = self.max_length - room
        if longest < 1:
            raise InputError(
                f"a task asks for answers of {room} tokens, and the model's context has {self.max_length}: leave that "
                "task out"
            )
        ids, _ = self.tok_batch_encode([context], left_truncate_len=longest)
        return tuple(ids[0].tolist())

    def _write(self, prompts: Sequence[tuple[int, ...]], asked: "_Asked") -> Iterator[tuple[int, str]]:
        """Each prompt's answer, with its index, as it is finished."""
        subject = self._subject
        models = ModelPass(subject.target, subject.source, subject.sets, subject.intervention)
        reads_source = self._way.patch is not None and subject.intervention.reads_source
        by = None if self._way.patch is not None else self._way.model
        writing = Writing(
            max_new_tokens=asked.max_new_tokens,
            rules=Rules(subject.target.base.end_ids, stops=StopTexts(self.tokenizer, [t for t in asked.until if t])),
            sampling=asked.sampling,
            seed=self._seed,
            prefill_tokens=budget.reading_tokens(subject.target),
            drafts=False,
        )
        seen: Counter[tuple[int, ...]] = Counter()
        tasks = []
        for index, ids in enumerate(prompts):  # a prompt that is asked several times gets several samples
            tasks.append(Task(0, index, seen[ids], ids, _key(ids), by=by, patch=self._way.patch))
            seen[ids] += 1
        longest = max(map(len, prompts)) + asked.max_new_tokens
        rows = budget.patching_rows(subject.target, longest, reads_source=reads_source)
        engine = PatchEngine(models, writing, reads_source=reads_source)
        for written in engine.write(sorted(tasks, key=lambda task: -len(task.input_ids)), rows):
            for item in written:
                text = self.tok_decode(list(item.completion.token_ids))
                yield item.task.prompt_id, postprocess_generated_text(text, asked.until, None)


@dataclass(frozen=True)
class _Asked:
    """How a task wants its answers written."""

    max_new_tokens: int
    until: list[str]
    sampling: SamplingOptions

    @classmethod
    def of(cls, arguments: dict[str, Any], default: int, ending: str) -> "_Asked":
        """From a request's arguments; raises InputError for a way of drawing tokens that snql does not have."""
        given = dict(normalize_gen_kwargs(arguments, default))
        until = handle_stop_sequences(given.pop("until", None), eos=ending)
        max_new_tokens = int(given.pop("max_gen_toks"))
        drawn = bool(given.pop("do_sample", False))
        unknown = {name for name, value in given.items() if value is not None} - (_SAMPLED if drawn else _GREEDY)
        if unknown:
            raise InputError(
                f"a task asks for generation with {', '.join(sorted(unknown))}: snql decodes greedily, or with "
                "temperature and top_p; leave that task out"
            )
        sampling = SamplingOptions()
        if drawn:
            sampling = SamplingOptions(
                temperature=float(given.get("temperature") or 1.0), top_p=float(given.get("top_p") or 1.0)
            )
        return cls(max_new_tokens, until, sampling)


def _key(ids: tuple[int, ...]) -> str:
    """What names a text, for random numbers."""
    return sha256(torch.tensor(ids, dtype=torch.int64).numpy().tobytes()).hexdigest()
