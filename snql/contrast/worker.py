"""The shard function: what is done with one batch of prompts, by whoever holds the models.

A worker has no database. It gets a batch and gives back completions and sums, or token-level activations; jobs put
these where they belong. Results do not depend on which worker did a batch, or on what it did before.
"""

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import torch

from snql.contrast.capture import CapturedStream
from snql.contrast.positions import Positions, Text, needs_completions, text_to_score
from snql.contrast.prompt_sums import PromptSums
from snql.contrast.read import Consumer, contrast_batch, read_batch
from snql.contrast.sums import ContrastSums
from snql.contrast.tokens import Layout, Taken, encode_batch
from snql.errors import RunError
from snql.generation.batch import by_tokens
from snql.generation.budget import holding_tokens, reading_tokens
from snql.generation.decode import Tick, decode, generate, no_tick
from snql.generation.memory import fits
from snql.generation.options import WritingOptions
from snql.generation.rules import Rules
from snql.generation.types import Completion
from snql.models.loaded import LoadedModel

Rows = Sequence[tuple[int, ...]]
T = TypeVar("T")


@dataclass(frozen=True)
class ContrastSettings:
    """What a worker must know of a run.

    writer: ``before``, ``after``, ``writer`` or ``given``; per_prompt: whether sums per prompt are wanted.
    """

    positions: Positions
    writer: str
    writing: WritingOptions
    recompute: bool = False
    per_prompt: bool = False

    @property
    def captures(self) -> bool:
        """Whether the writing model's activations are taken while it writes."""
        return self.positions == "generating" and not self.recompute and self.writer in ("before", "after")


@dataclass(frozen=True)
class ContrastTask:
    """One batch of prompts, by token ids. completions: what follows each, where no model is to write."""

    batch: int
    input_ids: tuple[tuple[int, ...], ...]
    completions: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True)
class ContrastResult:
    """What came of a batch: a completion for each prompt (none where no model writes), and sums in host memory.

    prompt_sums: in the order of the batch's prompts; None unless they are wanted.
    """

    batch: int
    completions: tuple[Completion, ...]
    sums: ContrastSums
    n_tokens: int
    prompt_sums: PromptSums | None = None


@dataclass(frozen=True)
class CollectTask:
    """One batch of finished texts whose token-level activations are wanted."""

    batch: int
    texts: tuple[Text, ...]


@dataclass(frozen=True)
class Collected:
    """Token-level activations of a batch as a Parquet file (:mod:`snql.contrast.tokens`)."""

    batch: int
    parquet: bytes


@dataclass(frozen=True)
class _Part:
    completions: Sequence[Completion]
    sums: ContrastSums
    n_tokens: int
    prompt_sums: PromptSums | None


class Worker:
    """Two loaded models, or three where a third one writes, and what to do with them."""

    def __init__(self, models: Mapping[str, LoadedModel], settings: ContrastSettings) -> None:
        self._models = models
        self._settings = settings
        self._most_rows: int | None = None

    def contrast(self, task: ContrastTask, tick: Tick = no_tick) -> ContrastResult:
        """Write and contrast one batch. Out of memory, its rows are halved, and so are those of later batches.

        Raises RunError if a single row does not fit, or if activations or logits are not finite.
        """
        parts: list[_Part] = []
        if task.completions is None:
            self._in_parts(task.input_ids, lambda rows: parts.append(self._contrast(rows, tick)))
        else:
            pairs = list(zip(task.input_ids, task.completions, strict=True))
            self._in_parts(pairs, lambda some: parts.append(self._read_both(*zip(*some, strict=True))))
        sums = self._empty()
        for part in parts:
            sums.merge(part.sums)
        completions = tuple(completion for part in parts for completion in part.completions)
        per_prompt = [part.prompt_sums for part in parts if part.prompt_sums is not None]
        return ContrastResult(
            task.batch,
            completions,
            sums.cpu(),
            sum(part.n_tokens for part in parts),
            PromptSums.joined(per_prompt) if per_prompt else None,
        )

    def collect(self, task: CollectTask, layout: Layout) -> Collected:
        """Both models read finished texts once more; the kept neurons' activations come back."""
        parts: list[Taken] = []
        self._in_parts(task.texts, lambda texts: parts.append(self._collect(texts, layout)))
        return Collected(task.batch, encode_batch(layout, parts))

    def _collect(self, texts: Sequence[Text], layout: Layout) -> Taken:
        taken: dict[str, dict[int, torch.Tensor]] = {"before": {}, "after": {}}
        for role in taken:
            model = self._models[role]

            def take(layer: int, activations: torch.Tensor, into: dict[int, torch.Tensor] = taken[role]) -> None:
                columns = torch.from_numpy(layout.columns[layer]).to(activations.device)
                into[layer] = activations[:, columns].float().cpu()

            read_batch(model, texts, list(layout.columns), take)
        return {layer: (before, taken["after"][layer]) for layer, before in taken["before"].items()}

    def _contrast(self, rows: Rows, tick: Tick) -> "_Part":
        settings = self._settings
        if settings.captures:
            return self._write_and_contrast(rows, tick)
        written: Sequence[Completion] = ()
        if needs_completions(settings.positions):
            written = generate(self._models[settings.writer], rows, settings.writing.max_new_tokens, tick, self._rules)
        return self._read_both(rows, [completion.token_ids for completion in written], written)

    def _read_both(self, rows: Rows, new: Rows, written: Sequence[Completion] = ()) -> "_Part":
        """Both models read prompts with what follows them."""
        texts = self._texts(rows, new)
        sums, per_prompt = self._empty(), self._per_prompt(len(texts))
        before, after = self._models["before"], self._models["after"]
        for batch in self._reading_batches(texts, holding_tokens(before)):
            add = self._adder(sums, per_prompt, texts, batch)
            contrast_batch(before, after, [texts[i] for i in batch], range(before.base.n_layers), add)
        return _Part(written, sums, _n_scored(texts), per_prompt)

    def _write_and_contrast(self, rows: Rows, tick: Tick) -> "_Part":
        """One model writes, keeping its activations; the other reads each finished text once."""
        settings = self._settings
        writer = self._models[settings.writer]
        reader = self._models["after" if settings.writer == "before" else "before"]
        stream = CapturedStream(writer, rows, settings.writing.max_new_tokens)
        with stream.capturing():
            completions = decode(stream, rows, settings.writing.max_new_tokens, self._rules, tick)
        lengths = [len(completion.token_ids) for completion in completions]
        texts = self._texts(rows, [completion.token_ids for completion in completions])
        sums, per_prompt = self._empty(), self._per_prompt(len(texts))
        for batch in self._reading_batches(texts, reading_tokens(reader)):
            add = self._adder(sums, per_prompt, texts, batch)

            def take(layer: int, read: torch.Tensor, batch: Sequence[int] = batch, add: Consumer = add) -> None:
                own = stream.written(layer, batch, lengths).to(read.device)
                add(layer, *((own, read) if settings.writer == "before" else (read, own)))

            read_batch(reader, [texts[index] for index in batch], range(reader.base.n_layers), take)
        return _Part(completions, sums, _n_scored(texts), per_prompt)

    def _adder(
        self, sums: ContrastSums, per_prompt: PromptSums | None, texts: Sequence[Text], batch: Sequence[int]
    ) -> Consumer:
        """What takes both models' activations of a batch of these texts, given by their indices."""
        owners = torch.tensor([index for index in batch for _ in texts[index].scored], dtype=torch.int64)

        def add(layer: int, before: torch.Tensor, after: torch.Tensor) -> None:
            sums.add(layer, before, after, routed=self._routed)
            if per_prompt is not None:
                per_prompt.add(layer, before, after, owners)

        return add

    def _per_prompt(self, n_prompts: int) -> PromptSums | None:
        return PromptSums(n_prompts, self._models["before"].shape) if self._settings.per_prompt else None

    def _texts(self, rows: Rows, completions: Rows) -> list[Text]:
        end_ids = self._models["before"].base.end_ids
        new = completions or [()] * len(rows)
        return [
            text_to_score(0, prompt, ids, self._settings.positions, end_ids)
            for prompt, ids in zip(rows, new, strict=True)
        ]

    def _reading_batches(self, texts: Sequence[Text], budget: int) -> list[list[int]]:
        """Indices of the texts that have scored positions, in batches of similar length."""
        scored = [index for index, text in enumerate(texts) if text.scored]
        batches = by_tokens([len(texts[index].token_ids) for index in scored], budget, self._most_rows)
        return [[scored[place] for place in batch] for batch in batches]

    def _in_parts(self, rows: Sequence[T], work: Callable[[Sequence[T]], None]) -> None:
        """Do the rows in order, all at once or in as many parts as memory allows."""
        waiting = deque([rows])
        while waiting:
            now = waiting.popleft()
            if self._most_rows is not None and len(now) > self._most_rows:
                waiting.extendleft((now[self._most_rows :], now[: self._most_rows]))
                continue
            if fits(partial(work, now)):
                continue
            if len(now) == 1:
                raise RunError("out of memory with one text: lower `max_new_tokens`, or use `dtype` or `quantize`")
            self._most_rows = (len(now) + 1) // 2
            waiting.appendleft(now)

    @cached_property
    def _rules(self) -> Rules:
        return Rules.of(self._settings.writing, self._models[self._settings.writer].base)

    def _empty(self) -> ContrastSums:
        shape = self._models["before"].shape
        return ContrastSums(shape.n_layers, shape.n_neurons)

    @property
    def _routed(self) -> bool:
        return self._models["before"].shape.routed


def _n_scored(texts: Sequence[Text]) -> int:
    return sum(len(text.scored) for text in texts)
