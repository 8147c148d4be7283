"""``snql guard train``: fit a guard and its controls on a model's activations and on the judged cost of its answers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from snql.db import guards, runs
from snql.db import prompts as prompt_records
from snql.db.connection import Database
from snql.db.judgements import check_judges
from snql.db.named_sets import runs_behind
from snql.db.outputs import check_folder
from snql.errors import InputError
from snql.guard.earlier import Earlier, find_earlier
from snql.guard.fitting import check_labels
from snql.guard.options import GuardOptions
from snql.guard.parts import Template
from snql.guard.plan import make_plan
from snql.guard.prompts import (
    Judged,
    judge_of,
    labels_of,
    read_guard_inputs,
    sign_of,
)
from snql.guard.results import sentences
from snql.guard.stored import read_guard
from snql.guard.study import Answers, Study
from snql.jobs.begin import Readers, tokenize
from snql.jobs.inputs import day_of
from snql.jobs.run import Announce, Loaded, run_job
from snql.jobs.work import Job
from snql.judges.judging import judge_run
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.neurons.syntax import runs_named
from snql.progress import ProgressCallback, silent
from snql.prompts.select import SetCounts
from snql.prompts.template import Formatter
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.rankings.shapes import check_expression
from snql.writing.html import table


@dataclass(frozen=True)
class GuardResult:
    """A trained guard: its rows of ``guard_scores`` (held-out prompts), and what they say in plain sentences.

    facts: how it was trained, as in guard.json.
    """

    run: str
    run_id: int
    facts: dict[str, Any]
    scores: pl.DataFrame
    says: list[str]
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        return table(self.scores.filter(pl.col("kind") == "guard"), title=f"guard {self.run}: held-out prompts")


def train(
    db: Database,
    name: str,
    options: GuardOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> GuardResult:
    """Let the model answer, judge, and fit; store the guard as run ``name``, and in ``options.out``.

    Raises InputError before anything is written for bad input, and if a judge finds all answers harmful, or none. A
    failure later, or Ctrl-C, leaves the run's row with its reason and the answers so far: ``resume`` goes on there.
    """
    if options.out is not None:
        check_folder(options.out, "a guard")
    earlier = earlier_of(db, options)
    new = runs.NewRun("guard", name, options.config() | facts_of(earlier), options.seed)

    def load(announce: Announce) -> Loaded:
        check_expression(db, options.neurons)
        answers_of = answers_for(db, options, earlier, day_of(db, new, resume=resume), progress)
        announce()
        model = load_models({"before": options.model}, options.models)["before"]
        plan = make_plan(Evaluator(db, model.shape), options.neurons, options.sizes, options.random)
        answers = answers_of(model)
        beginning = answers.beginning(model, options.writing.batch_size)
        return Loaded(beginning, Study(model, plan, answers, options).work)

    def found(run_id: int) -> GuardResult:
        return _finished(db, name, run_id, options.out)

    return run_job(db, new, load, found, resume=resume, force=force, progress=progress)


def locate_runs_of(db: Database, neurons: str) -> tuple[str, ...]:
    """The locate runs whose rankings an expression uses: their prompts are left out."""
    return tuple(prompt_records.locate_runs(db, runs_named([neurons]) | runs_behind(db, [neurons])))


def template_of(formatter: Formatter) -> Template:
    """How prompts are put to the model, as a guard keeps it."""
    chat = formatter.chat
    return Template(
        template=formatter.template,
        chat_template=None if chat is None else chat.text,
        system=formatter.system,
        response_prefix=formatter.response_prefix,
        special_tokens=formatter.special_tokens,
        options={} if chat is None else dict(chat.options),
        date=chat.day.isoformat() if chat is not None and (chat.is_dated or chat.asked) else None,
    )


def earlier_of(db: Database, options: GuardOptions) -> Earlier | None:
    """The run whose answers and scores are taken, if one is named."""
    if options.from_run is None:
        return None
    return find_earlier(db, options.from_run, options.every, options.benign, options.judge)


def facts_of(earlier: Earlier | None) -> dict[str, object]:
    """The settings of the other run. Its hash says whether it has been replaced meanwhile."""
    if earlier is None:
        return {}
    return {"from_kind": earlier.kind, "from_sha256": earlier.config_sha256, "judge": earlier.judge}


def answers_for(
    db: Database, options: GuardOptions, earlier: Earlier | None, day: date, progress: ProgressCallback
) -> Callable[[LoadedModel], Answers]:
    """Answers with what a judge says of them: of the run itself, or of an earlier one."""
    return _asked(db, options, day, progress) if earlier is None else _stored(earlier, options)


def _asked(
    db: Database, options: GuardOptions, day: date, progress: ProgressCallback
) -> Callable[[LoadedModel], Answers]:
    """Answers that the run itself writes and has judged; prompts are read at once, the judge after the model."""
    apart = () if options.allow_overlap else locate_runs_of(db, options.neurons)
    inputs = read_guard_inputs(db, options.prompts, options.benign, options.seed, apart, day=day, progress=progress)
    loader = judge_of(str(options.judge), inputs, options.models.device)

    def answers(model: LoadedModel) -> Answers:
        readers = Readers.of({"before": model}, options.models)
        given = tokenize(inputs.read, readers, options.writing.max_new_tokens, progress)
        judge = loader()
        check_judges(db, [judge.info])

        def judged(job: Job) -> Judged:
            judge_run(job, [judge], options.seed)
            name = judge.info.name
            return Judged(name, guards.scores(job.db, job.run_id, 0, name), sign_of(judge.info), options.threshold)

        return Answers(
            prompts=given.prompts,
            read=given.read,
            benign=inputs.benign,
            template=template_of(given.formatter),
            writing=options.writing,
            judged=judged,
        )

    return answers


def _stored(earlier: Earlier, options: GuardOptions) -> Callable[[LoadedModel], Answers]:
    """Answers of another run, with what a judge has said of them."""

    def answers(model: LoadedModel) -> Answers:
        if model.model_id != earlier.model_id:
            raise InputError(
                f"`model` {model.spec.text} is not the {earlier.role} model of {earlier.run!r}: its files differ; a "
                "guard learns from answers of its own model"
            )
        judged = Judged(earlier.judge, earlier.scores, earlier.higher_is, options.threshold)
        _, labels = labels_of(judged.rows(earlier.prompts, earlier.benign))
        check_labels(labels, dataset_words(earlier.prompts), plain=options.plain)
        return Answers(
            prompts=earlier.prompts,
            read=None,
            benign=earlier.benign,
            template=template_of(earlier.formatter(Readers.of({"before": model}, options.models))),
            writing=None,
            judged=lambda _: judged,
        )

    return answers


def dataset_words(prompts: Sequence[Prompt]) -> str:
    """The names of the data sets of these prompts."""
    return ", ".join(dict.fromkeys(prompt.dataset for prompt in prompts))


def _finished(db: Database, name: str, run_id: int, out: Path | None) -> GuardResult:
    guard = read_guard(db, name)
    if out is not None:
        guard.save(out)
    query = "SELECT * EXCLUDE (run_id) FROM guard_scores WHERE run_id = ? ORDER BY dataset, neurons, kind, measure"
    scores = db.frame(query, [run_id])
    says = sentences(scores, guard.facts["neurons"])
    return GuardResult(name, run_id, guard.facts, scores, says, prompt_records.read_sets(db, run_id))
