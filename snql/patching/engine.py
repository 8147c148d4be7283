"""Patching engine: many completions at once, each with neurons of its own overwritten while it is written.

Three kinds of rows share the batch: texts that the source reads, texts that the target reads without a patch, and texts
that the target writes with its patch. What an unpatched model computes depends only on the text so far, so all
completions whose text is still the same share one such row; where they go on differently, the row is copied. The
unpatched models' own completions are rows of this kind that go on with their own tokens. Rows that have finished leave,
and waiting ones take their places.
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

import torch

from snql.errors import RunError
from snql.generation.decode import Tick, no_tick
from snql.generation.memory import fits
from snql.generation.sampling import Sampling, random_numbers
from snql.generation.types import Completion
from snql.patching.interventions import PatchedRow, Where
from snql.patching.passes import SOURCE, TARGET, ModelPass, Rows

_ADMIT_BELOW = 0.75
"""Waiting rows come in once less than this share of the room is taken: reading prompts one by one would be slow."""


_WORTH_READING = 32
_SIMILAR = 0.85
"""So many prompts are read at once without much shorter ones beside them, which would be mostly padding."""


@dataclass(frozen=True)
class Task:
    """One completion to write: by an unpatched model (``by``: SOURCE or TARGET), or with a neuron set (``patch``).

    key: what names the prompt, for random numbers. patch: index of the set.
    """

    variant_id: int
    prompt_id: int
    sample: int
    input_ids: tuple[int, ...]
    key: str
    by: int | None = None
    patch: int | None = None


@dataclass(frozen=True)
class Written:
    """A completion, with what the unpatched models would have written in its place at each step.

    source_ids: the source's choices on the text so far; empty if it did not read. target_ids: the unpatched target's,
    for as long as it wrote the same text in the same batch: from none to all. Where tokens are drawn, choices are those
    under the completion's own random numbers.
    """

    task: Task
    completion: Completion
    source_ids: tuple[int, ...]
    target_ids: tuple[int, ...]


@dataclass(frozen=True)
class Writing:
    """How completions are written. prefill_tokens: rows times longest of the prompts that are read at once."""

    max_new_tokens: int
    end_ids: frozenset[int]
    sampling: Sampling = field(default_factory=Sampling)
    seed: int = 0
    where: Where = field(default_factory=Where)
    prefill_tokens: int = 4096


@dataclass(eq=False)
class _Place:
    """A text that a model reads: the row that has it, and the token that it goes on with."""

    model: int
    stream: int
    slot: int
    token: int = -1


@dataclass(eq=False)
class _Row:
    """A completion that is being written.

    own: its place if it is patched. readers: where the unpatched source and target read the same text, if they do.
    """

    task: Task
    own: _Place | None
    readers: list[_Place | None]
    numbers: Sequence[float]
    written: list[int] = field(default_factory=list)
    choices: tuple[list[int], list[int]] = field(default_factory=lambda: ([], []))

    @property
    def places(self) -> list[_Place]:
        """What must go on for this completion to go on; first the place whose logits give its next token."""
        reader = self.readers[self.task.by or SOURCE]
        return [place for place in (self.own, reader) if place is not None]


class PatchEngine:
    """Writes completions with neurons patched; :meth:`write` gives them back as they are finished."""

    def __init__(self, models: ModelPass, writing: Writing, *, reads_source: bool, tick: Tick = no_tick) -> None:
        self._models = models
        self._writing = writing
        self._reads_source = reads_source
        self._tick = tick
        self._rows: list[_Row] = []
        self._places: list[list[_Place]] = [[] for _ in models.streams]

    def write(self, tasks: Iterable[Task], most_rows: int, seconds: float = 1.0) -> Iterator[list[Written]]:
        """Write all tasks, ``most_rows`` at once; yields what is finished every so many seconds.

        Tasks of one prompt should follow each other: they share what unpatched models read. Results do not depend on
        ``most_rows`` or on the other tasks. Out of memory, it goes on with half the rows. Raises RunError if a single
        one does not fit, or if logits are not finite.
        """
        waiting = deque(tasks)
        at_work: dict[tuple[int, int, int], Task] = {}
        while waiting or at_work:
            finished: list[Written] = []
            began = time.monotonic()
            with self._models.applied():
                while (waiting or self._rows) and (not finished or time.monotonic() - began < seconds):
                    room = most_rows - len(self._rows)
                    new = self._next_in(waiting, room) if room > (1 - _ADMIT_BELOW) * most_rows else []
                    at_work |= {(task.variant_id, task.prompt_id, task.sample): task for task in new}
                    done: list[Written] = []
                    if not fits(lambda new=new, done=done: done.extend(self._turn(new))):  # type: ignore[misc]
                        most_rows = self._give_back(at_work, waiting)
                        continue
                    for written in done:
                        del at_work[written.task.variant_id, written.task.prompt_id, written.task.sample]
                    finished += done
            if finished:
                yield finished

    def _next_in(self, waiting: deque[Task], room: int) -> list[Task]:
        """The next tasks that fit into the rows left and can be read at once; at least one."""
        taken: list[Task] = []
        longest = 0
        while waiting and len(taken) < room:
            length = len(waiting[0].input_ids)
            longest = max(longest, length)
            if taken and (len(taken) + 1) * longest > self._writing.prefill_tokens:
                break
            if len(taken) >= _WORTH_READING and length < _SIMILAR * longest:
                break
            taken.append(waiting.popleft())
        return taken

    def _give_back(self, at_work: dict[tuple[int, int, int], Task], waiting: deque[Task]) -> int:
        """After running out of memory: begin anew what was at work; returns how many rows to try."""
        if len(at_work) == 1:
            raise RunError("out of memory with one completion: lower --max-new-tokens, or use --dtype or --quantize")
        most_rows = len(at_work) // 2
        waiting.extendleft(reversed(at_work.values()))
        at_work.clear()
        self._rows = []
        self._places = [[] for _ in self._places]
        self._models.clear()
        return most_rows

    @torch.inference_mode()
    def _turn(self, new: Sequence[Task]) -> list[Written]:
        """Write one token of each row at work; let new ones in, which get their first."""
        finished: list[Written] = []
        if self._rows:
            logits = self._models.step([[p.token for p in part] for part in self._places], self._row_plan())
            finished += self._advance(self._rows, logits)
            self._rows = [row for row in self._rows if not _ended(row, self._writing)]
            self._settle()
        if new:
            finished += self._admit(new)
        return finished

    def _row_plan(self) -> list[Rows]:
        """How the rows of each stream run in the next step."""
        plan = [Rows([p.model for p in part], [None] * len(part)) for part in self._places]
        for row in self._rows:
            self._plan_patch(row, plan)
        return plan

    def _plan_patch(self, row: _Row, plan: Sequence[Rows]) -> None:
        if row.own is None or row.task.patch is None or not self._writing.where.covers(len(row.written)):
            return
        source = row.readers[SOURCE]
        length = len(row.task.input_ids) + len(row.written)
        plan[row.own.stream].patched[row.own.slot] = PatchedRow(
            row.task.patch, 0 if source is None else source.slot, length, row.task.key, row.task.sample
        )

    def _admit(self, tasks: Sequence[Task]) -> list[Written]:
        """Read new prompts in a batch of their own, write first tokens, and give the rows that go on a place."""
        texts: list[list[tuple[int, ...]]] = [[] for _ in self._places]
        plan = [Rows() for _ in self._places]

        def place(model: int, task: Task) -> _Place:
            stream = self._models.stream_of(model)
            texts[stream].append(task.input_ids)
            plan[stream].models.append(model)
            plan[stream].patched.append(None)
            return _Place(model, stream, len(texts[stream]) - 1)

        readers: dict[tuple[int, int], _Place] = {}
        rows = []
        for task in tasks:
            model = task.by if task.by is not None else SOURCE if self._reads_source else None
            if model is not None and (model, task.prompt_id) not in readers:
                readers[model, task.prompt_id] = place(model, task)
        for task in tasks:
            own = place(TARGET, task) if task.by is None else None
            following = [readers.get((model, task.prompt_id)) for model in (SOURCE, TARGET)]
            if own is not None and not self._reads_source:
                following[SOURCE] = None
            rows.append(_Row(task, own, following, self._numbers(task)))
        for row in rows:
            self._plan_patch(row, plan)
        fresh = self._models.read(texts, plan)
        finished = self._advance(rows, [None if part is None else part.logits for part in fresh])
        rows = [row for row in rows if not _ended(row, self._writing)]
        for index, places in enumerate(_places(rows, len(self._places))):
            part, old = fresh[index], self._places[index]
            if part is not None:
                self._models.streams[index].place(part, [p.slot for p in places])
            for p in places:
                p.slot = len(old)
                old.append(p)
        self._rows += rows
        return finished

    def _numbers(self, task: Task) -> Sequence[float]:
        writing = self._writing
        if writing.sampling.greedy:
            return [0.0] * writing.max_new_tokens
        return list(random_numbers(writing.seed, task.key, task.sample, writing.max_new_tokens).tolist())

    def _advance(self, rows: Sequence[_Row], logits: Sequence[torch.Tensor | None]) -> list[Written]:
        """Add each row's next token, and let the unpatched models follow; returns the rows that are finished by it."""
        self._tick(len(rows))
        chosen = self._choose(rows, logits)
        finished, live = [], []
        for row, tokens in zip(rows, chosen, strict=True):
            row.written.append(tokens[0])
            for model, token in zip(_watched(row), tokens[1:], strict=True):
                row.choices[model].append(token)
            if _ended(row, self._writing):
                finished.append(_written(row, self._writing.end_ids))
            else:
                live.append(row)
        _follow(live)
        return finished

    def _choose(self, rows: Sequence[_Row], logits: Sequence[torch.Tensor | None]) -> list[list[int]]:
        """For each row its next token, then the choices of the unpatched models that it watches."""
        asked: list[list[int]] = [[] for _ in logits]
        numbers: list[list[float]] = [[] for _ in logits]
        for row in rows:
            for place in _asked(row):
                asked[place.stream].append(place.slot)
                numbers[place.stream].append(row.numbers[len(row.written)])
        answers = [
            iter(() if part is None else self._writing.sampling.choose(part, slots, drawn))
            for part, slots, drawn in zip(logits, asked, numbers, strict=True)
        ]
        return [[next(answers[place.stream]) for place in _asked(row)] for row in rows]

    def _settle(self) -> None:
        """Give the rows that go on slots without gaps: most stay where they are, copies and the last ones move."""
        for index, places in enumerate(_places(self._rows, len(self._places))):
            held: list[_Place | None] = [None] * len(places)
            homeless = []
            for p in places:
                if p.slot < len(held) and held[p.slot] is None:
                    held[p.slot] = p
                else:
                    homeless.append(p)
            waiting = iter(homeless)
            settled = [p or next(waiting) for p in held]
            self._models.streams[index].rearrange([p.slot for p in settled])
            for slot, p in enumerate(settled):
                p.slot = slot
            self._places[index] = settled


def _watched(row: _Row) -> list[int]:
    """The unpatched models whose choices are noted for a patched row."""
    return [] if row.own is None else [model for model in (SOURCE, TARGET) if row.readers[model] is not None]


def _asked(row: _Row) -> list[_Place]:
    """The places whose logits are wanted: the row's own, then those of the models that it watches."""
    if row.own is None:
        return row.places
    return [row.own, *(place for place in row.readers if place is not None)]


def _follow(rows: Sequence[_Row]) -> None:
    """Give every row that goes on the places where unpatched models read its text with its new token."""
    children: dict[tuple[_Place, int], _Place] = {}
    for row in rows:
        if row.own is not None:
            row.own.token = row.written[-1]
        needed = SOURCE if row.task.by is None else row.task.by
        parent = row.readers[needed]
        if parent is not None:
            key = parent, row.written[-1]
            if key not in children:
                children[key] = _Place(parent.model, parent.stream, parent.slot, row.written[-1])
            row.readers[needed] = children[key]
    for row in rows:  # nobody reads for these alone
        parent = row.readers[TARGET]
        if row.task.by is None and parent is not None:
            row.readers[TARGET] = children.get((parent, row.written[-1]))


def _places(rows: Sequence[_Row], n_streams: int) -> list[list[_Place]]:
    """The places that rows need, of each stream, each once."""
    found: list[dict[int, _Place]] = [{} for _ in range(n_streams)]
    for row in rows:
        for p in row.places:
            found[p.stream].setdefault(id(p), p)
    return [list(part.values()) for part in found]


def _ended(row: _Row, writing: Writing) -> bool:
    return len(row.written) == writing.max_new_tokens or row.written[-1] in writing.end_ids


def _written(row: _Row, end_ids: frozenset[int]) -> Written:
    reason = "stop" if row.written[-1] in end_ids else "length"
    completion = Completion(tuple(row.written), reason)  # type: ignore[arg-type]
    source, target = (tuple(choices) for choices in row.choices)
    return Written(row.task, completion, source, target)
