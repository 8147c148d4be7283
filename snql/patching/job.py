"""The stages of a patch run: write, judge. Each commits as it goes and begins where it left off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snql.db import records, runs
from snql.db.connection import Database
from snql.db.durable import room_needed
from snql.interrupts import Stop, held_back
from snql.jobs.watch import Watch
from snql.judges.base import Judge
from snql.judges.judging import judge_run
from snql.models.loaded import LoadedModel
from snql.patching.engine import PatchEngine
from snql.patching.interventions import Intervention
from snql.patching.passes import SOURCE, TARGET, ModelPass
from snql.patching.rows import Task, Writing, Written
from snql.patching.trace import unpatched_choices
from snql.patching.variants import DONOR, RECIPIENT
from snql.progress import Progress, ProgressCallback
from snql.prompts.types import Prompt

_PROMPTS_AT_ONCE = 500


@dataclass(frozen=True)
class PatchJob:
    """A run whose row, models, prompts and variants are in the database.

    target: the model whose neurons are changed; source: the other one, None in a run without a donor. rows: how many
    completions are written at once. trace: whether to find out what the unpatched target would have written.
    """

    db: Database
    run_id: int
    target: LoadedModel
    source: LoadedModel | None
    intervention: Intervention
    writing: Writing
    prompts: Sequence[Prompt]
    variants: Sequence[records.Variant]
    n_samples: int
    freeze: bool
    rows: int
    trace: bool
    commit_seconds: float
    seed: int
    progress: ProgressCallback

    def run(self, judges: Sequence[Judge]) -> None:
        """Do what is not done yet. Ctrl-C ends the run once what has been written is committed."""
        with room_needed(self.db.path), held_back(self._say_stopping) as stop:
            self._write(stop)
            judge_run(self.db, self.run_id, judges, seed=self.seed, progress=self.progress, stop=stop)
            with self.db.write() as connection:
                runs.finish_run(connection, self.run_id)

    def _write(self, stop: Stop) -> None:
        """Write what is not stored yet, committing about once a second."""
        sets = [variant.members for variant in self.variants if variant.members is not None]
        models = ModelPass(self.target, self.source, sets, self.intervention)
        done = records.n_completions(self.db, self.run_id)
        total = len(self.prompts) * len(self.variants) * self.n_samples
        watch = Watch(self.progress, "patch", done, total, "completions")
        reads_source = self.intervention.reads_source
        engine = PatchEngine(models, self.writing, reads_source=reads_source, tick=watch.tick)
        for written in engine.write(self._tasks(any_done=done > 0), self.rows, self.commit_seconds):
            self._commit(written)
            watch.advance(len(written), sum(len(item.completion.token_ids) for item in written))
            stop.here()

    def _tasks(self, *, any_done: bool) -> Iterator[Task]:
        """What is to be written, longest prompts first, all of a prompt's completions together.

        With drafts, what the unpatched target writes comes first, for many prompts at once.
        """
        ordered = sorted(self.prompts, key=lambda prompt: (-len(prompt.input_ids), prompt.prompt_id))
        patched = (variant.variant_id for variant in self.variants if variant.members is not None)
        patches = {variant_id: index for index, variant_id in enumerate(patched)}
        at_once = max(1, _PROMPTS_AT_ONCE // self.n_samples)
        for start in range(0, len(ordered), at_once):
            chunk = ordered[start : start + at_once]
            ids = [prompt.prompt_id for prompt in chunk]
            done = records.completed(self.db, self.run_id, ids) if any_done else set()
            drafts = records.read_tokens(self.db, self.run_id, self._target_id, ids) if any_done else {}
            tasks = [
                Task(
                    variant.variant_id,
                    prompt.prompt_id,
                    sample,
                    prompt.input_ids,
                    prompt.sha256,
                    by=None if variant.members is not None else self._model_of(variant),
                    patch=patches.get(variant.variant_id),
                    draft=drafts.get((prompt.prompt_id, sample), ()),
                )
                for prompt in chunk
                for sample in range(self.n_samples)
                for variant in self.variants
                if (variant.variant_id, prompt.prompt_id, sample) not in done
            ]
            yield from sorted(tasks, key=lambda task: task.by != TARGET) if self.writing.drafts else tasks

    def _model_of(self, variant: records.Variant) -> int:
        """The model that writes an unpatched variant."""
        return TARGET if variant.variant_id == self._target_id else SOURCE

    @property
    def _target_id(self) -> int:
        """The variant in which the patched model writes without its patch."""
        return DONOR if self.freeze else RECIPIENT

    def _commit(self, written: Sequence[Written]) -> None:
        patched = [item for item in written if item.task.patch is not None]
        unpatched: dict[int, tuple[int, ...]] = {}
        if self.trace:
            choices = unpatched_choices(self.target, patched, self.writing)
            unpatched = {id(item): ids for item, ids in zip(patched, choices, strict=True)}
        rows = [
            records.CompletionRow(
                item.task.variant_id,
                item.task.prompt_id,
                self.target.text(item.completion.token_ids),
                item.completion,
                item.task.sample,
                item.source_ids or None,
                unpatched.get(id(item)),
            )
            for item in written
        ]
        with self.db.write() as connection:
            records.write_completions(connection, self.run_id, rows)

    def _say_stopping(self) -> None:
        message = "stopping once what is finished has been kept; Ctrl-C again stops at once"
        self.progress(Progress("", 0, 0, "", message=message))
