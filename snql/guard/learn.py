"""``snql guard train``: fit a guard and its controls on a model's activations and on the judged cost of its answers."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from snql.db import prompts as prompt_records
from snql.db import records, runs
from snql.db.connection import Database
from snql.db.judgements import check_judges
from snql.db.named_sets import runs_behind
from snql.errors import InputError
from snql.guard.earlier import Earlier, find_earlier
from snql.guard.fitting import check_labels
from snql.guard.parts import THRESHOLD, Template
from snql.guard.plan import MOST_CONTROLS, make_plan
from snql.guard.prompts import (
    AUTO,
    Judged,
    batch_of_each,
    check_batch_size,
    labels_of,
    plan_batches,
    read_guard_inputs,
    stored_batches,
)
from snql.guard.results import sentences
from snql.guard.stored import read_guard
from snql.guard.study import Study
from snql.jobs.begin import JOB_LOCK_SECONDS, begin_run, describe_model, tokenize
from snql.jobs.inputs import PromptInputs
from snql.jobs.options import check_seed
from snql.judges.options import JudgeOptions
from snql.judges.registry import judge_loader
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.syntax import runs_named
from snql.progress import Progress, ProgressCallback, silent
from snql.prompts.options import PromptOptions
from snql.prompts.select import SetCounts
from snql.prompts.template import Formatter
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.writing.html import table

_NOT_IN_CONFIG = ("source", "load", "batch_size", "device", "out")


@dataclass(frozen=True)
class GuardOptions:
    """Settings of a guard run; names and meanings are those of the command line's options.

    source: prompts and benign prompts together, ``benign`` being those that are benign; None with ``from_run`` for all
    prompts of that run. judge: None with ``from_run`` if only one has judged it. threshold: an answer is harmful beyond
    this score. refuse_from: the guard refuses from this probability on. plain: scikit-learn's defaults. sizes: more
    guards on the top of the same ranking. random: controls of each kind for each of them. out: a folder for the guard.
    """

    model: str
    neurons: str
    source: PromptOptions | None = None
    benign: tuple[str, ...] = ()
    judge: str | None = None
    from_run: str | None = None
    threshold: float = 0.0
    refuse_from: float = THRESHOLD
    plain: bool = False
    sizes: tuple[str, ...] = ()
    random: int = 5
    max_new_tokens: int = 128
    batch_size: int | str = AUTO
    seed: int = 0
    allow_overlap: bool = False
    out: Path | None = None
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        check_seed(self.seed)
        check_batch_size(self.batch_size)
        if self.source is None and self.from_run is None:
            raise InputError("which prompts? give --prompts, such as --prompts demo:harmful, or --from-run")
        if self.judge is None and self.from_run is None:
            raise InputError("which judge? give --judge, such as --judge demo:cost")
        if self.max_new_tokens < 1 or not 0 <= self.random <= MOST_CONTROLS:
            raise InputError(f"--max-new-tokens must be at least 1, --random 0 to {MOST_CONTROLS}")
        if not 0 <= self.refuse_from <= 1:
            raise InputError(f"--refuse-from {self.refuse_from:g} is no probability: use 0 to 1")
        if self.threshold != self.threshold or abs(self.threshold) == float("inf"):
            raise InputError(f"--threshold {self.threshold:g} is not a score: use a finite number")

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        read = {} if self.source is None else asdict(self.source)
        flat = asdict(self) | read | asdict(self.load)
        return {key: value for key, value in flat.items() if key not in _NOT_IN_CONFIG}


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


@dataclass(frozen=True)
class _Given:
    """Prompts of the run, token ids and all; where they were read; and which data sets are benign."""

    prompts: list[Prompt]
    read: PromptInputs | None
    benign: frozenset[str]
    formatter: Formatter


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
    earlier = _earlier(db, options)
    new = runs.NewRun("guard", name, options.config() | _of_earlier(earlier), options.seed)
    resumed = runs.check_free(db, new, resume=resume, force=force)
    if resumed is not None and resumed.status == "done":
        return _finished(db, name, resumed.run_id, options.out)
    apart = () if options.allow_overlap else locate_runs_of(db, options.neurons)
    inputs = None if earlier else read_guard_inputs(db, _source(options), options.benign, options.seed, apart)
    loader = None if earlier else judge_loader(str(options.judge), JudgeOptions(device=options.load.device))
    model = load_models({"before": options.model}, options.load)["before"]
    plan = make_plan(Evaluator(db, model.shape), options.neurons, options.sizes, options.random)
    if earlier is not None:
        given = _given_earlier(model, earlier)
        _check_earlier_labels(earlier, options)
    else:
        assert inputs is not None
        formatter = Formatter.of(inputs.read.options, model.base.tokenizer)
        prompts = tokenize(inputs.read, model.base.tokenizer, model.base.context_length, options.max_new_tokens)
        given = _Given(prompts, inputs.read, inputs.benign, formatter)
    judge = loader() if loader is not None else None
    check_judges(db, [judge.info] if judge is not None else [])
    room = 0 if earlier else options.max_new_tokens
    batches = batch_of_each(plan_batches(model, given.prompts, options.batch_size, room))
    new = runs.NewRun(new.kind, name, new.config, new.seed, str(model.base.device), model.base.dtype_name)
    variants = [records.Variant(0, "before", "before")]
    run_id, prompts = begin_run(
        db, new, resumed, {"before": describe_model(model)}, given.prompts, variants, given.read, force=force,
        batches=batches,
    )  # fmt: skip
    for line in plan.left_out:
        progress(Progress("", 0, 0, "", message=line))
    patient = Database(db.path, JOB_LOCK_SECONDS)
    db.close()
    with runs.recorded(patient, run_id):
        Study(
            db=patient,
            run_id=run_id,
            model=model,
            plan=plan,
            prompts=prompts,
            batches=stored_batches(patient, run_id),
            benign=given.benign,
            template=template_of(given.formatter),
            max_new_tokens=room,
            threshold=options.threshold,
            refuse_from=options.refuse_from,
            plain=options.plain,
            seed=options.seed,
            progress=progress,
        ).run(judge, earlier)
    return _finished(db, name, run_id, options.out)


def locate_runs_of(db: Database, neurons: str) -> tuple[str, ...]:
    """The locate runs whose rankings an expression uses: their prompts are left out."""
    return tuple(prompt_records.locate_runs(db, runs_named([neurons]) | runs_behind(db, [neurons])))


def template_of(formatter: Formatter) -> Template:
    """How prompts are put to the model, as a guard keeps it."""
    return Template(formatter.template, formatter.chat_template, formatter.system, formatter.response_prefix)


def _source(options: GuardOptions) -> PromptOptions:
    if options.source is None:
        raise InputError("which prompts? give --prompts, such as --prompts demo:harmful")
    return options.source


def _earlier(db: Database, options: GuardOptions) -> Earlier | None:
    if options.from_run is None:
        return None
    sets = () if options.source is None else options.source.prompts
    return find_earlier(db, options.from_run, sets, options.benign, options.judge)


def _of_earlier(earlier: Earlier | None) -> dict[str, object]:
    """The settings of the other run. Its hash says whether it has been replaced meanwhile."""
    if earlier is None:
        return {}
    return {"from_kind": earlier.kind, "from_sha256": earlier.config_sha256, "judge": earlier.judge}


def _given_earlier(model: LoadedModel, earlier: Earlier) -> _Given:
    """Raises InputError unless the model is the one that wrote."""
    if model.model_id != earlier.model_id:
        raise InputError(
            f"--model {model.spec.text} is not the {earlier.role} model of {earlier.run!r}: its files differ; a guard "
            "learns from answers of its own model"
        )
    formatter = Formatter.of(earlier.template, model.base.tokenizer)
    return _Given(earlier.prompts, None, earlier.benign, formatter)


def _check_earlier_labels(earlier: Earlier, options: GuardOptions) -> None:
    """Before anything is written: whether a guard can be fitted on these labels."""
    judged = Judged(earlier.scores, earlier.higher_is, options.threshold)
    _, labels = labels_of(judged.rows(earlier.prompts, earlier.benign))
    check_labels(labels, dataset_words(earlier.prompts), plain=options.plain)


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
