"""``snql patch``: write with neurons patched, judge, and measure the causal effect."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import polars as pl
import torch

from snql.db import records, runs
from snql.db.connection import Database
from snql.db.judgements import check_judges
from snql.db.named_sets import runs_behind
from snql.db.prompts import locate_runs, read_sets
from snql.db.scores import read_run_scores
from snql.generation import budget
from snql.generation.rules import Rules
from snql.generation.slots import check_cache
from snql.jobs.begin import Beginning, Readers, tokenize
from snql.jobs.inputs import day_of, read_inputs
from snql.jobs.run import Announce, Loaded, run_job
from snql.jobs.work import Job
from snql.judges.judging import judge_run
from snql.judges.registry import judge_loaders
from snql.models.load import load_models
from snql.neurons.syntax import runs_named
from snql.options import config
from snql.patching.findings import Unseen, effects_of, found_by, unseen
from snql.patching.graded import GradedJob
from snql.patching.interventions import Where
from snql.patching.job import PatchJob
from snql.patching.options import PatchOptions
from snql.patching.rows import Writing
from snql.patching.subject import Subject
from snql.patching.variants import DONOR, RECIPIENT, VariantPlan, expressions
from snql.progress import ProgressCallback, silent
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.writing.html import table


@dataclass(frozen=True)
class PatchResult:
    """What a patch run found.

    ``effects`` has the rows of ``causal_effects`` that belong to it; ``says`` what they say, a sentence a judge;
    ``unseen`` texts that changed without a judge seeing it, if most did; ``prompt_sets`` what became of the prompt
    sets' rows; ``notes`` what the numbers must be read with.
    """

    run: str
    run_id: int
    effects: pl.DataFrame
    prompt_sets: list[SetCounts]
    notes: tuple[str, ...] = ()
    says: tuple[str, ...] = ()
    unseen: Unseen | None = None

    def _repr_html_(self) -> str:
        columns = (
            *("neurons", "n_neurons", "dataset", "judge", "n_prompts"),
            *("mean_recipient", "mean_patched", "mean_donor", "effect", "ci_low", "ci_high", "confidence"),
        )
        return table(self.effects, columns, title=f"patch run {self.run}: causal effects with their intervals")


def patch(
    db: Database,
    name: str,
    options: PatchOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> PatchResult:
    """Write with every variant's neurons patched, judge the completions, and store effects as run ``name``.

    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves the run's row with
    its reason and the completions so far, which ``resume`` continues from, to the same results.
    """
    new = runs.NewRun("patch", name, config(options), options.seed)

    def load(announce: Announce) -> Loaded:
        wanted = _wanted(db, options)
        ranked_by = () if options.allow_overlap else locate_runs(db, runs_named(wanted) | runs_behind(db, wanted))
        day = day_of(db, new, resume=resume)
        read = read_inputs(db, options.prompts, options.seed, day, ranked_by, progress)
        loaders = judge_loaders(options.judging, options.models.device)
        plan = VariantPlan(db, wanted, options.controls, donor=options.donor is not None, routes=options.routes)
        plan.check()
        announce()
        subject = _subject(plan, options)
        given = tokenize(read, Readers.of(subject.models, options.models), options.writing.max_new_tokens, progress)
        judges = [load() for load in loaders]
        check_judges(db, [judge.info for judge in judges])
        writing, rows = _writing(options, subject), _rows(options, subject, given.prompts)

        def work(job: Job) -> None:
            PatchJob(job, subject, writing, options.sampling.samples, rows, options.trace).write()
            _note_equal_models(job, options)
            if options.graded and options.donor is not None and options.sampling.greedy:
                GradedJob(job, subject, writing.where, options.seed).measure()
            judge_run(job, judges, options.seed)

        beginning = Beginning.of(
            subject.models, given.prompts, subject.variants, given.read, notes=plan.notes(subject.variants)
        )
        return Loaded(beginning, work)

    found = partial(_summary, db, name)
    return run_job(db, new, load, found, resume=resume, force=force, progress=progress)


def _wanted(db: Database, options: PatchOptions) -> list[str]:
    return expressions(
        options.neurons,
        options.sweep,
        options.window,
        lambda run: len(read_run_scores(db, run).ids),
        options.sweep_layers,
    )


def _note_equal_models(job: Job, options: PatchOptions) -> None:
    if options.donor is not None and records.all_write_the_same(job.db, job.run_id, (RECIPIENT, DONOR)):
        job.note("recipient and donor write the same for every prompt: no patch can have an effect to measure")


def _subject(plan: VariantPlan, options: PatchOptions) -> Subject:
    """Load the models; raises ModelError, ExpressionError or InputError."""
    specs = {"recipient": options.recipient} | ({} if options.donor is None else {"donor": options.donor})
    models = load_models(specs, options.models, own_template=options.prompts.own_template)
    variants = plan.of(models["recipient"].shape)
    for model in models.values():
        check_cache(model)
    return Subject.of(plan.db, models, variants, options.mode, options.seed, freeze=options.freeze)


def _writing(options: PatchOptions, subject: Subject) -> Writing:
    target, source = subject.target, subject.source
    drafts = target.base.model.dtype == torch.float32 if options.drafts is None else options.drafts
    prefill = budget.choosing_tokens(target) if drafts else budget.reading_tokens(target)
    if source is not None and source.base is not target.base:  # its activations of all layers wait for the target
        prefill = min(prefill, budget.holding_tokens(source))
    return Writing(
        max_new_tokens=options.writing.max_new_tokens,
        rules=Rules.of(options.writing, target.base),
        sampling=options.sampling,
        seed=options.seed,
        where=Where(options.steps, options.first),
        prefill_tokens=prefill,
        drafts=drafts,
    )


def _rows(options: PatchOptions, subject: Subject, prompts: Sequence[Prompt]) -> int:
    """How many completions are written at once."""
    if not isinstance(options.writing.batch_size, str):
        return options.writing.batch_size
    longest = max(len(prompt.input_ids) for prompt in prompts) + options.writing.max_new_tokens
    return budget.patching_rows(subject.target, longest, reads_source=subject.intervention.reads_source)


def _summary(db: Database, name: str, run_id: int) -> PatchResult:
    effects = effects_of(db, run_id)
    return PatchResult(
        name,
        run_id,
        effects,
        read_sets(db, run_id),
        runs.read_notes(db, run_id),
        tuple(found_by(db, effects)),
        unseen(db, run_id, effects),
    )
