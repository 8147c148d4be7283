"""Completions that are being written, and the rows of the batch that they need."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from snql.generation.options import SamplingOptions
from snql.generation.rules import Rules
from snql.generation.types import Completion, FinishReason
from snql.patching.interventions import SOURCE, TARGET, Where


@dataclass(frozen=True)
class Task:
    """One completion to write: by an unpatched model (``by``: SOURCE or TARGET), or with a neuron set (``patch``).

    key: what names the prompt, for random numbers. patch: index of the set. draft: what the unpatched target writes, if
    it is known. follows: whether the source reads along, if the run's intervention reads it.
    """

    variant_id: int
    prompt_id: int
    sample: int
    input_ids: tuple[int, ...]
    key: str
    by: int | None = None
    patch: int | None = None
    draft: tuple[int, ...] = ()
    follows: bool = True

    @property
    def name(self) -> tuple[int, int, int]:
        """What tells it from all others."""
        return self.variant_id, self.prompt_id, self.sample

    @property
    def read_first(self) -> tuple[int, ...]:
        """What is read before its first tokens are chosen: the prompt, and its draft but for the last token."""
        return self.input_ids + self.draft[:-1]

    @property
    def text(self) -> tuple[int, int]:
        """What it has in common with the other completions of the same prompt and sample."""
        return self.prompt_id, self.sample


@dataclass(frozen=True)
class Written:
    """A completion, with what the unpatched models would have written in its place at each step.

    source_ids: the source's choices on the text so far; empty if it did not read. target_ids: the unpatched target's,
    for as long as they are known: from none to all. Where tokens are drawn, choices are those under the completion's
    own random numbers.
    """

    task: Task
    completion: Completion
    source_ids: tuple[int, ...]
    target_ids: tuple[int, ...]


@dataclass(frozen=True)
class Writing:
    """How completions are written. rules: those of the target's base, for all rows alike.

    prefill_tokens: rows times longest of the texts that are read at once. drafts: whether drafts are used. Reading at
    once and step by step round differently: in half precision, near ties between tokens may then fall the other way.
    """

    max_new_tokens: int
    rules: Rules
    sampling: SamplingOptions = field(default_factory=SamplingOptions)
    seed: int = 0
    where: Where = field(default_factory=Where)
    prefill_tokens: int = 4096
    drafts: bool = True


@dataclass(eq=False)
class Place:
    """A text that a model reads: the row that has it, the token that it goes on with, and its length before that."""

    model: int
    stream: int
    slot: int
    token: int = -1
    length: int = 0


@dataclass(eq=False)
class Row:
    """A completion that is being written.

    own: its place if it is patched. readers: where the unpatched source and target read the same text, if they do.
    numbers: a random one for each token.
    """

    task: Task
    own: Place | None
    readers: list[Place | None]
    numbers: Sequence[float]
    written: list[int] = field(default_factory=list)
    choices: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))

    @property
    def length(self) -> int:
        """Tokens of the text that has been read: all but the last one."""
        return len(self.task.input_ids) + len(self.written) - 1

    @property
    def text(self) -> tuple[int, ...]:
        """The text so far, which gives the next token."""
        return (*self.task.input_ids, *self.written)

    @property
    def places(self) -> list[Place]:
        """What must go on for this completion to go on; first the place whose logits give its next token."""
        reader = self.readers[self.task.by or SOURCE]
        return [place for place in (self.own, reader) if place is not None]

    @property
    def watched(self) -> list[int]:
        """The unpatched models whose choices are noted for a patched row."""
        return [] if self.own is None else [model for model in (SOURCE, TARGET) if self.readers[model] is not None]

    @property
    def asked(self) -> list[Place]:
        """The places whose logits are wanted: its own, then those of the models that it watches."""
        if self.own is None:
            return self.places
        return [self.own, *(place for place in self.readers if place is not None)]

    def take(self, tokens: Sequence[int]) -> None:
        """Add the next token, and note the choices of the watched models, given as ``asked`` is."""
        for model, token in zip(self.watched, tokens[1:], strict=True):
            self.choices[model].append(token)
        self.written.append(tokens[0])

    def ended(self, writing: Writing) -> bool:
        return len(self.written) == writing.max_new_tokens or writing.rules.ended(self.written)

    def result(self, writing: Writing) -> Written:
        """What it is once it has ended."""
        reason: FinishReason = "stop" if writing.rules.ended(self.written) else "length"
        source, target = (tuple(choices) for choices in self.choices)
        return Written(self.task, Completion(tuple(self.written), reason), source, target)


def follow(rows: Sequence[Row]) -> None:
    """Give every row that goes on the places where unpatched models read its text with its new token."""
    children: dict[tuple[Place, int, int], Place] = {}
    for row in rows:
        token = row.written[-1]
        if row.own is not None:
            row.own.token, row.own.length = token, row.length
        model = row.task.by or SOURCE
        if (parent := row.readers[model]) is not None:
            key = parent, row.length, token
            if key not in children:
                children[key] = Place(parent.model, parent.stream, parent.slot, token, row.length)
            row.readers[model] = children[key]
    for row in rows:  # nobody reads for these alone
        if row.task.by is None and (parent := row.readers[TARGET]) is not None:
            row.readers[TARGET] = children.get((parent, row.length, row.written[-1]))


def places_of(rows: Sequence[Row], n_streams: int) -> list[list[Place]]:
    """The places that rows need, of each stream, each once."""
    found: list[dict[int, Place]] = [{} for _ in range(n_streams)]
    for row in rows:
        for place in row.places:
            found[place.stream].setdefault(id(place), place)
    return [list(part.values()) for part in found]
