"""``snql lm-eval``: tasks of the LM Evaluation Harness, plain and with neurons patched."""

from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from itertools import starmap
from typing import TYPE_CHECKING

import polars as pl

from snql.capability.options import LmEvalOptions
from snql.capability.subject import load_subject
from snql.db import capability as rows
from snql.db import runs
from snql.db.capability import Row
from snql.db.connection import Database
from snql.db.records import Variant
from snql.distribution import install
from snql.errors import InputError
from snql.jobs.begin import Beginning
from snql.jobs.run import Announce, Loaded, run_job
from snql.jobs.work import Done, Job
from snql.patching.reader import ways
from snql.patching.subject import Subject
from snql.progress import Progress, ProgressCallback, silent
from snql.writing.html import table

if TYPE_CHECKING:
    from snql.capability.tasks import Tasks

MISSING = f"lm-eval needs the LM Evaluation Harness: {install('lm-eval')}"


@dataclass(frozen=True)
class LmEvalResult:
    """What an lm-eval run found: its rows of ``task_scores``."""

    run: str
    run_id: int
    scores: pl.DataFrame

    def _repr_html_(self) -> str:
        columns = ("variant", "n_neurons", "task", "metric", "filter", "value", "stderr", "change", "n_samples")
        return table(self.scores, columns, title=f"lm-eval run {self.run}")


def lm_eval(
    db: Database,
    name: str,
    options: LmEvalOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> LmEvalResult:
    """Run tasks under every variant and store the harness's results, and each document's, as run ``name``.

    Raises InputError before anything is written for bad input, and if the harness is not installed. A failure later,
    or Ctrl-C, leaves the tasks that are done; ``resume`` does the others.
    """
    if find_spec("lm_eval") is None:
        raise InputError(MISSING)
    config = options.config() | {"harness": version("lm-eval")}

    def load(announce: Announce) -> Loaded:
        from snql.capability.tasks import find_tasks

        tasks = find_tasks(options)
        subject = load_subject(db, options.subject, announce, own_template=options.chat_template)
        tested = [v for v in subject.variants if v.members is not None or not options.patched_only]
        beginning = Beginning.of(subject.models, variants=tested)
        return Loaded(beginning, lambda job: _work(job, subject, tested, tasks))

    new = runs.NewRun("lm-eval", name, config, options.subject.seed)
    found = partial(_summary, db, name)
    return run_job(db, new, load, found, resume=resume, force=force, progress=progress)


def _work(job: Job, subject: Subject, tested: list[Variant], tasks: "Tasks") -> None:
    """Do what is left: a task under a variant at a time."""
    from snql.capability.harness import HarnessModel

    read_as = ways(subject)
    known = rows.tasks_done(job.db, job.run_id)
    pairs = [(variant, task) for task in tasks.names for variant in tested]
    left = [(variant, task) for variant, task in pairs if (variant.variant_id, task) not in known]

    def evaluate(variant: Variant, task: str) -> Done[Row]:
        stage = f"{task} of {variant.name}"

        def tick(done: int, total: int) -> None:
            job.progress(Progress(stage, done, total, "requests"))

        def model() -> HarnessModel:
            return HarnessModel(subject, read_as[variant.variant_id], tasks.seed, tick)

        return Done(tasks.evaluate(model, task, variant.variant_id), 1)

    watch = job.watch("lm-eval", len(pairs) - len(left), len(pairs), "tasks")
    job.work_through(watch, starmap(evaluate, left), lambda found: job.store(rows.write_rows, found))


def _summary(db: Database, name: str, run_id: int) -> LmEvalResult:
    query = "SELECT * EXCLUDE (run_id) FROM task_scores WHERE run_id = ? ORDER BY task, metric, filter, variant_id"
    return LmEvalResult(name, run_id, db.frame(query, [run_id]))
