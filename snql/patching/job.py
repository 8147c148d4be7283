"""The first stage of a patch run: writing. It commits as it goes and begins where it left off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snql.db import records
from snql.jobs import work
from snql.jobs.work import Done, Job
from snql.patching.engine import PatchEngine
from snql.patching.interventions import SOURCE, TARGET
from snql.patching.options import DIRECT
from snql.patching.passes import ModelPass
from snql.patching.rows import Task, Writing, Written
from snql.patching.subject import Subject
from snql.patching.trace import unpatched_choices
from snql.patching.variants import DONOR, RECIPIENT
from snql.prompts.types import Prompt

_PROMPTS_AT_ONCE = 500


@dataclass(frozen=True)
class PatchJob:
    """Completions to be written under all variants of a subject.

    rows: how many completions are written at once. trace: whether to find out what the unpatched target would have
    written.
    """

    job: Job
    subject: Subject
    writing: Writing
    n_samples: int
    rows: int
    trace: bool

    def write(self) -> None:
        """Write what is not stored yet."""
        job, subject, prompts = self.job, self.subject, self.job.prompts()
        models = ModelPass(subject.target, subject.source, subject.sets, subject.intervention)
        done = records.n_completions(job.db, job.run_id)
        total = len(prompts) * len(subject.variants) * self.n_samples
        watch = job.watch("patch", done, total, "completions")
        reads_source = subject.intervention.reads_source
        engine = PatchEngine(models, self.writing, reads_source=reads_source, tick=watch.tick)
        written = engine.write(self._tasks(prompts, any_done=done > 0), self.rows, work.COMMIT_SECONDS)
        job.work_through(watch, map(_done, written), self._commit)

    def _tasks(self, prompts: Sequence[Prompt], *, any_done: bool) -> Iterator[Task]:
        """What is to be written, longest prompts first, all of a prompt's completions together.

        With drafts, what the unpatched target writes comes first, for many prompts at once.
        """
        ordered = sorted(prompts, key=lambda prompt: (-len(prompt.input_ids), prompt.prompt_id))
        patched = (variant.variant_id for variant in self.subject.variants if variant.members is not None)
        patches = {variant_id: index for index, variant_id in enumerate(patched)}
        at_once = max(1, _PROMPTS_AT_ONCE // self.n_samples)
        for start in range(0, len(ordered), at_once):
            chunk = ordered[start : start + at_once]
            ids = [prompt.prompt_id for prompt in chunk]
            done = records.completed(self.job.db, self.job.run_id, ids) if any_done else set()
            drafts = records.read_tokens(self.job.db, self.job.run_id, self._target_id, ids) if any_done else {}
            tasks = [
                Task(
                    variant_id=variant.variant_id,
                    prompt_id=prompt.prompt_id,
                    sample=sample,
                    input_ids=prompt.input_ids,
                    key=prompt.sha256,
                    by=None if variant.members is not None else self._model_of(variant),
                    patch=patches.get(variant.variant_id),
                    draft=drafts.get((prompt.prompt_id, sample), ()),
                    follows=variant.route != DIRECT,
                )
                for prompt in chunk
                for sample in range(self.n_samples)
                for variant in self.subject.variants
                if (variant.variant_id, prompt.prompt_id, sample) not in done
            ]
            yield from sorted(tasks, key=lambda task: task.by != TARGET) if self.writing.drafts else tasks

    def _model_of(self, variant: records.Variant) -> int:
        """The model that writes an unpatched variant."""
        return TARGET if variant.variant_id == self._target_id else SOURCE

    @property
    def _target_id(self) -> int:
        """The variant in which the patched model writes without its patch."""
        return DONOR if self.subject.freeze else RECIPIENT

    def _commit(self, written: Sequence[Written]) -> None:
        patched = [item for item in written if item.task.patch is not None]
        unpatched: dict[int, tuple[int, ...]] = {}
        if self.trace:
            choices = unpatched_choices(self.subject.target, patched, self.writing)
            unpatched = {id(item): ids for item, ids in zip(patched, choices, strict=True)}
        rows = [
            records.CompletionRow(
                variant_id=item.task.variant_id,
                prompt_id=item.task.prompt_id,
                text=self.writing.rules.text(self.subject.target, item.completion.token_ids),
                completion=item.completion,
                sample=item.task.sample,
                donor_ids=item.source_ids or None,
                unpatched_ids=unpatched.get(id(item)),
            )
            for item in written
        ]
        self.job.store(records.write_completions, rows)


def _done(written: list[Written]) -> Done[Written]:
    return Done(written, len(written), sum(len(item.completion.token_ids) for item in written))
