"""Reading finished texts under unpatched and patched models: teacher-forced, the donor on the same tokens."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch

from snql.errors import RunError
from snql.generation.batch import by_tokens
from snql.generation.budget import choosing_tokens, holding_tokens
from snql.generation.memory import fits
from snql.generation.sampling import check_finite
from snql.patching.interventions import SOURCE, TARGET, PatchedRow, Where
from snql.patching.passes import ModelPass, Rows
from snql.patching.subject import Subject
from snql.patching.variants import DONOR, RECIPIENT


@dataclass(frozen=True)
class Text:
    """A text to read. kept: after how many of its last tokens logits are wanted; key and sample name it, for noise.

    n_prompt: its first tokens that are the prompt, for interventions that tell prompt and completion apart.
    """

    ids: tuple[int, ...]
    kept: int
    key: str
    sample: int = 0
    n_prompt: int = 0


@dataclass(frozen=True)
class Way:
    """How a text is read: by an unpatched model (SOURCE or TARGET), or by the target with a neuron set (its index)."""

    model: int = TARGET
    patch: int | None = None


Logits = list[torch.Tensor]
"""Of one text, those of each way: Float[Tensor, "kept vocabulary"]."""


def ways(subject: Subject) -> dict[int, Way]:
    """How each variant of a subject reads, by its id."""
    patched = iter(range(len(subject.variants)))
    other = {SOURCE: TARGET, TARGET: SOURCE}
    unpatched = {RECIPIENT: TARGET, DONOR: SOURCE}
    if subject.freeze:
        unpatched = {variant: other[model] for variant, model in unpatched.items()}
    return {
        variant.variant_id: Way(TARGET, next(patched))
        if variant.members is not None
        else Way(unpatched[variant.variant_id])
        for variant in subject.variants
    }


@dataclass(frozen=True)
class Plan:
    """Batches of texts, by index, longest first; and how many ways each is read at once, beside the source."""

    batches: list[list[int]]
    ways_at_once: int

    def groups(self, variants: Sequence[int]) -> list[Sequence[int]]:
        """The variants that are read together, one way each."""
        return [variants[start : start + self.ways_at_once] for start in range(0, len(variants), self.ways_at_once)]


@dataclass
class _Batch:
    """Rows that are read at once. ``wanted``: for each text and way, the row of its stream that has its logits."""

    texts: list[list[tuple[int, ...]]]
    rows: list[Rows]
    wanted: list[list[tuple[int, int]]] = field(default_factory=list)

    def add(self, stream: int, model: int, ids: tuple[int, ...]) -> int:
        self.texts[stream].append(ids)
        self.rows[stream].models.append(model)
        self.rows[stream].patched.append(None)
        return len(self.texts[stream]) - 1


class Reader:
    """Reads texts with the hooks of ``snql patch``; the source's activations are those on the same text."""

    def __init__(self, subject: Subject, where: Where | None = None) -> None:
        target, source = subject.target, subject.source
        self._models = ModelPass(target, source, subject.sets, subject.intervention)
        self._reads_source = subject.intervention.reads_source
        self._where = where or Where()
        self._budget = choosing_tokens(target)
        if source is not None and source.base is not target.base:  # its activations of all layers wait for the target
            self._budget = min(self._budget, holding_tokens(source))

    def plan(self, lengths: Sequence[int], n_ways: int) -> "Plan":
        """Which texts are read at once. Depends on nothing but the lengths and the models: a resumed run has the same.

        Where all ways of the longest text do not fit together, they are read some at a time.
        """
        at_once = min(n_ways, max(1, self._budget // max(lengths, default=1) - 1))
        return Plan(by_tokens(lengths, max(1, self._budget // (at_once + 1))), at_once)

    def read(self, texts: Sequence[Text], ways: Sequence[Way]) -> Iterator[tuple[int, Logits]]:
        """The logits of each text, with its index, under every way, as one batch: as many as a plan puts together.

        Out of memory, it goes on with half the texts. Raises RunError if one does not fit, or for logits that are not
        finite.
        """
        waiting = deque([list(range(len(texts)))] if texts else [])
        with self._models.applied():
            while waiting:
                batch = waiting.popleft()
                found: list[Logits] = []
                chosen = [texts[index] for index in batch]
                if fits(lambda chosen=chosen, found=found: found.extend(self._read(chosen, ways))):  # type: ignore[misc]
                    yield from zip(batch, found, strict=True)
                elif len(batch) == 1:
                    raise RunError(
                        f"out of memory reading one text of {len(chosen[0].ids)} tokens: read shorter texts, or use "
                        "`dtype` or `quantize`"
                    )
                else:
                    self._models.clear()
                    waiting.extendleft((batch[len(batch) // 2 :], batch[: len(batch) // 2]))

    @torch.inference_mode()
    def _read(self, texts: Sequence[Text], ways: Sequence[Way]) -> Iterator[Logits]:
        n_streams = len(self._models.streams)
        batch = _Batch([[] for _ in range(n_streams)], [Rows() for _ in range(n_streams)])
        for text in texts:
            self._place(batch, text, ways)
        keep = max(text.kept for text in texts)
        logits = self._models.scan(batch.texts, batch.rows, keep)
        for text, places in zip(texts, batch.wanted, strict=True):
            yield [_part(logits[stream], row, text.kept) for stream, row in places]

    def _place(self, batch: _Batch, text: Text, ways: Sequence[Way]) -> None:
        """Add the rows that a text needs; the source is read once, for itself and for all patched rows."""
        plain: dict[int, int] = {}
        wanted = []
        needs_source = self._reads_source and any(way.patch is not None for way in ways)
        for model in ([SOURCE] if needs_source else []) + [way.model for way in ways if way.patch is None]:
            if model not in plain:
                plain[model] = batch.add(self._models.stream_of(model), model, text.ids)
        for way in ways:
            stream = self._models.stream_of(way.model)
            if way.patch is None:
                wanted.append((stream, plain[way.model]))
                continue
            row = batch.add(stream, TARGET, text.ids)
            covered = self._where.positions(text.n_prompt)
            batch.rows[stream].patched[row] = PatchedRow(
                way.patch, plain.get(SOURCE, 0), len(text.ids), covered, text.key, text.sample
            )
            wanted.append((stream, row))
        batch.wanted.append(wanted)


def _part(logits: torch.Tensor | None, row: int, kept: int) -> torch.Tensor:
    """What is kept of a row; before that may be padding, which has no finite logits in some models."""
    if logits is None:
        raise ValueError("a row is in a stream that was not read")
    part = logits[row, logits.shape[1] - kept :]
    check_finite(part)
    return part
