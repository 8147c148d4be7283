"""Patching engine: many completions at once, each with neurons of its own overwritten while it is written.

Three kinds of rows share the batch: texts that the source reads, texts that the target reads without a patch, and texts
that the target writes with its patch. What an unpatched model computes depends only on the text so far, so all
completions whose text is still the same share one such row; where they go on differently, the row is copied. The
unpatched models' own completions are rows of this kind that go on with their own tokens. Rows that have finished leave,
and waiting ones take their places.

A patch changes few tokens, or none, of most completions. So what the unpatched target has written is a *draft*: a new
completion reads prompt and draft at once, patched at every position, and keeps the draft up to the first token that it
would have written differently. Step by step it would have written the same (as speculative decoding does with a smaller
model's drafts: Leviathan, Kalman and Matias 2023).
"""

import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import torch

from snql.errors import RunError
from snql.generation.decode import Tick, no_tick
from snql.generation.memory import fits
from snql.generation.sampling import choose, random_numbers
from snql.generation.slots import Fresh
from snql.patching.interventions import SOURCE, TARGET, PatchedRow
from snql.patching.passes import ModelPass, Rows
from snql.patching.rows import Place, Row, Task, Writing, Written, follow, places_of

_ADMIT_BELOW = 0.75
"""Waiting rows come in once less than this share of the room is taken: reading prompts one by one would be slow."""

_WORTH_READING = 32
_SIMILAR = 0.85
"""So many prompts are read at once without much shorter ones beside them, which would be mostly padding."""

_TRIED = 5
_WORTH_DRAFTING = 0.25
"""A set that has kept less than this share of so many drafts gets no more: it would read what it then writes itself."""

_MOST_DRAFTS = 4096


class PatchEngine:
    """Writes completions with neurons patched; :meth:`write` gives them back as they are finished."""

    def __init__(self, models: ModelPass, writing: Writing, *, reads_source: bool, tick: Tick = no_tick) -> None:
        self._models = models
        self._writing = writing
        self._reads_source = reads_source
        self._tick = tick
        self._rows: list[Row] = []
        self._places: list[list[Place]] = [[] for _ in models.streams]
        self._drafts: dict[tuple[int, int], tuple[int, ...]] = {}
        self._kept: dict[int, list[float]] = {}

    def write(self, tasks: Iterable[Task], most_rows: int, seconds: float = 1.0) -> Iterator[list[Written]]:
        """Write all tasks, ``most_rows`` at once; yields what is finished every so many seconds.

        Tasks of one prompt should follow each other: they share what unpatched models read. With drafts, those of the
        unpatched target should come first; while there is room, nobody waits for a draft. Results do not depend on
        ``most_rows``, on the order, or on the other tasks. Out of memory, it goes on with half the rows. Raises
        RunError if a single one does not fit, or if logits are not finite.
        """
        waiting = _Waiting(tasks)
        at_work: dict[tuple[int, int, int], Task] = {}
        while waiting or at_work:
            finished: list[Written] = []
            began = time.monotonic()
            with self._models.applied():
                while (waiting or self._rows) and (not finished or time.monotonic() - began < seconds):
                    room = most_rows - len(self._rows)
                    new = self._next_in(waiting, room) if room > (1 - _ADMIT_BELOW) * most_rows else []
                    at_work |= {task.name: task for task in new}
                    done: list[Written] = []
                    if not fits(lambda new=new, done=done: done.extend(self._turn(new))):  # type: ignore[misc]
                        most_rows = self._give_back(at_work, waiting)
                        continue
                    for written in done:
                        del at_work[written.task.name]
                    finished += done
            if finished:
                yield finished

    def _next_in(self, waiting: "_Waiting", room: int) -> list[Task]:
        """The next tasks that fit into the rows left and can be read at once."""
        taken: list[Task] = []
        longest = 0
        while len(taken) < room and (task := waiting.first) is not None:
            draft = self._draft(task)
            length = len(task.input_ids) + len(draft)
            longest = max(longest, length)
            if taken and (len(taken) + 1) * longest > self._writing.prefill_tokens:
                break
            if len(taken) >= _WORTH_READING and length < _SIMILAR * longest:
                break
            taken.append(replace(waiting.take(), draft=draft))
        return taken

    def _give_back(self, at_work: dict[tuple[int, int, int], Task], waiting: "_Waiting") -> int:
        """After running out of memory: begin anew what was at work; returns how many rows to try."""
        if len(at_work) == 1:
            raise RunError("out of memory with one completion: lower `max_new_tokens`, or use `dtype` or `quantize`")
        most_rows = len(at_work) // 2
        waiting.give_back(at_work.values())
        at_work.clear()
        self._rows = []
        self._places = [[] for _ in self._places]
        self._models.clear()
        return most_rows

    @torch.inference_mode()
    def _turn(self, new: Sequence[Task]) -> list[Written]:
        """Write one token of each row at work; let new ones in, which get their first ones."""
        finished: list[Written] = []
        if self._rows:
            logits = self._models.step([[p.token for p in part] for part in self._places], self._row_plan())
            for row, tokens in zip(self._rows, self._choose(self._rows, logits), strict=True):
                row.take(tokens)
            self._tick(len(self._rows))
            finished, self._rows = self._parted(self._rows)
            self._settle()
        if new:
            finished += self._admit(new)
        return finished

    def _parted(self, rows: Sequence[Row]) -> tuple[list[Written], list[Row]]:
        """Rows that have ended, and those that go on, with the unpatched models following them."""
        finished, live = [], []
        for row in rows:
            if row.ended(self._writing):
                finished.append(row.result(self._writing))
                if row.task.by == TARGET and self._writing.drafts:
                    self._drafts[row.task.text] = tuple(row.written)
            else:
                live.append(row)
        while len(self._drafts) > _MOST_DRAFTS:
            del self._drafts[next(iter(self._drafts))]
        follow(live)
        return finished, live

    def _row_plan(self) -> list[Rows]:
        """How the rows of each stream run in the next step."""
        plan = [Rows([p.model for p in part], [None] * len(part)) for part in self._places]
        for row in self._rows:
            length = row.length + 1
            self._plan_patch(row, plan, range(length - 1, length))
        return plan

    def _plan_patch(self, row: Row, plan: Sequence[Rows], read: range) -> None:
        """Let a row be patched where it should, if anywhere in the positions that are read."""
        if row.own is None or row.task.patch is None:
            return
        covered = self._writing.where.positions(len(row.task.input_ids))
        if covered.start >= read.stop or covered.stop <= read.start:
            return
        source = row.readers[SOURCE]
        plan[row.own.stream].patched[row.own.slot] = PatchedRow(
            row.task.patch, 0 if source is None else source.slot, read.stop, covered, row.task.key, row.task.sample
        )

    def _admit(self, tasks: Sequence[Task]) -> list[Written]:
        """Read new prompts with their drafts in a batch of their own, and give the rows that go on a place."""
        reading = _Reading(self._models)
        for task in tasks:
            if task.by is not None or self._follows(task):
                reading.read(task.by or SOURCE, task.read_first)
        rows = [self._row(task, reading) for task in tasks]
        keep = max(1, *(len(task.draft) for task in tasks))
        fresh = self._models.read(reading.texts, reading.plan, keep)
        self._begin(rows, fresh)
        finished, live = self._parted(rows)
        for index, places in enumerate(places_of(live, len(self._places))):
            part, old = fresh[index], self._places[index]
            if part is not None:
                self._models.streams[index].place(part, [p.slot for p in places], [p.length for p in places])
            for p in places:
                p.slot = len(old)
                old.append(p)
        self._rows += live
        return finished

    def _row(self, task: Task, reading: "_Reading") -> Row:
        """A completion that begins, its text among those to be read."""
        text = task.read_first
        own = reading.place(TARGET, text) if task.by is None else None
        following = [reading.readers.get((model, text)) for model in (SOURCE, TARGET)]
        if own is not None and not self._follows(task):
            following[SOURCE] = None
        if own is not None and task.draft:
            following[TARGET] = None  # the draft is what the target chooses
        row = Row(task, own, following, self._numbers(task))
        self._plan_patch(row, reading.plan, range(len(text)))
        return row

    def _begin(self, rows: Sequence[Row], fresh: Sequence[Fresh | None]) -> None:
        """Write each row's first token, and those of its draft that it would have written itself with the next one."""
        asked: list[list[int]] = [[] for _ in fresh]
        numbers: list[list[float]] = [[] for _ in fresh]
        texts: list[list[tuple[int, ...]]] = [[] for _ in fresh]
        kept = [1 if part is None else part.logits.shape[1] for part in fresh]
        for row in rows:
            n_steps = max(1, len(row.task.draft))
            for place in row.asked:
                start = (place.slot + 1) * kept[place.stream] - n_steps
                asked[place.stream] += range(start, start + n_steps)
                numbers[place.stream] += row.numbers[:n_steps]
                # Each step is asked as if all of the draft before it had been written: what follows a token that was
                # not is never taken.
                texts[place.stream] += [row.task.input_ids + row.task.draft[:step] for step in range(n_steps)]
        answers = [
            iter(() if part is None else self._answers(part.logits.flatten(0, 1), of, drawn, so_far))
            for part, of, drawn, so_far in zip(fresh, asked, numbers, texts, strict=True)
        ]
        for row in rows:
            n_steps = max(1, len(row.task.draft))
            columns = [[next(answers[place.stream]) for _ in range(n_steps)] for place in row.asked]
            for step, tokens in enumerate(zip(*columns, strict=True)):
                row.take(tokens)
                if row.task.draft and row.own is not None:
                    row.choices[TARGET].append(row.task.draft[step])
                if row.ended(self._writing) or (row.task.draft and tokens[0] != row.task.draft[step]):
                    break
            self._tick(len(row.written))
            if row.task.draft and row.task.patch is not None:
                kept_tokens = len(row.written) - (row.written[-1] != row.task.draft[len(row.written) - 1])
                self._kept.setdefault(row.task.patch, []).append(kept_tokens / len(row.task.draft))

    def _answers(
        self, logits: torch.Tensor, of: Sequence[int], numbers: Sequence[float], texts: Sequence[tuple[int, ...]]
    ) -> list[int]:
        """Choices at some places of many; padding among the others may have no finite logits."""
        asked = logits[torch.tensor(of, device=logits.device)]
        return choose(self._writing.sampling, asked, range(len(of)), numbers, self._writing.rules.repetition, texts)

    def _follows(self, task: Task) -> bool:
        """Whether the source reads along with a patched completion."""
        return self._reads_source and task.follows

    def _draft(self, task: Task) -> tuple[int, ...]:
        """What a completion may turn out to be."""
        if not self._writing.drafts or task.by == TARGET:
            return ()
        shares = self._kept.get(task.patch, []) if task.patch is not None else []
        if len(shares) >= _TRIED and sum(shares) < _WORTH_DRAFTING * len(shares):
            return ()
        return task.draft or self._drafts.get(task.text, ())

    def _numbers(self, task: Task) -> Sequence[float]:
        writing = self._writing
        if writing.sampling.greedy:
            return [0.0] * writing.max_new_tokens
        return list(random_numbers(writing.seed, task.key, task.sample, writing.max_new_tokens).tolist())

    def _choose(self, rows: Sequence[Row], logits: Sequence[torch.Tensor | None]) -> list[list[int]]:
        """For each row its next token, then the choices of the unpatched models that it watches."""
        asked: list[list[int]] = [[] for _ in logits]
        numbers: list[list[float]] = [[] for _ in logits]
        texts: list[list[tuple[int, ...]]] = [[] for _ in logits]
        repetition = self._writing.rules.repetition
        for row in rows:
            text = () if repetition.off else row.text
            for place in row.asked:
                asked[place.stream].append(place.slot)
                numbers[place.stream].append(row.numbers[len(row.written)])
                texts[place.stream].append(text)
        answers = [
            iter(() if part is None else choose(self._writing.sampling, part, slots, drawn, repetition, so_far))
            for part, slots, drawn, so_far in zip(logits, asked, numbers, texts, strict=True)
        ]
        return [[next(answers[place.stream]) for place in row.asked] for row in rows]

    def _settle(self) -> None:
        """Give the rows that go on slots without gaps: most stay where they are, copies and the last ones move."""
        for index, places in enumerate(places_of(self._rows, len(self._places))):
            held: list[Place | None] = [None] * len(places)
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


class _Reading:
    """New texts to be read in a batch of their own, by stream, and how they run.

    readers: places of the texts that unpatched models read, by model and text.
    """

    def __init__(self, models: ModelPass) -> None:
        self._models = models
        self.texts: list[list[tuple[int, ...]]] = [[] for _ in models.streams]
        self.plan = [Rows() for _ in models.streams]
        self.readers: dict[tuple[int, tuple[int, ...]], Place] = {}

    def place(self, model: int, text: tuple[int, ...]) -> Place:
        """A row of its own for a text."""
        stream = self._models.stream_of(model)
        self.texts[stream].append(text)
        self.plan[stream].models.append(model)
        self.plan[stream].patched.append(None)
        return Place(model, stream, len(self.texts[stream]) - 1)

    def read(self, model: int, text: tuple[int, ...]) -> None:
        """Let an unpatched model read a text, once for all completions that begin with it."""
        if (model, text) not in self.readers:
            self.readers[model, text] = self.place(model, text)


class _Waiting:
    """Tasks in order, made as they are needed; some come back."""

    def __init__(self, tasks: Iterable[Task]) -> None:
        self._tasks = iter(tasks)
        self._next: deque[Task] = deque()

    def __bool__(self) -> bool:
        return self.first is not None

    @property
    def first(self) -> Task | None:
        """The next task."""
        if not self._next and (task := next(self._tasks, None)) is not None:
            self._next.append(task)
        return self._next[0] if self._next else None

    def take(self) -> Task:
        """The next task, which then no longer waits."""
        return self._next.popleft()

    def give_back(self, tasks: Iterable[Task]) -> None:
        """Let tasks wait again, before all others."""
        self._next.extendleft(reversed(list(tasks)))
