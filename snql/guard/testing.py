"""``snql guard test``: how a trained guard and its controls do on other prompts, and what answers then cost."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import polars as pl
from transformers import PreTrainedTokenizerBase

from snql.db import guards, records, runs
from snql.db import prompts as prompt_records
from snql.db.connection import Database
from snql.db.guards import StoredGuard
from snql.db.judgements import check_judges
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.guard.by_set import check_labels_mean_harm
from snql.guard.learn import locate_runs_of
from snql.guard.model import Guard
from snql.guard.options import GuardTestOptions
from snql.guard.prompts import GuardInputs, judge_of, plan_batches, read_guard_inputs
from snql.guard.results import sentences
from snql.guard.stored import read_guard
from snql.guard.trial import Trial
from snql.jobs.begin import Beginning, Readers, check_fit
from snql.jobs.run import Announce, Loaded, run_job
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.options import build, config, leaves
from snql.progress import ProgressCallback, silent
from snql.prompts.chat import ChatTemplate
from snql.prompts.select import SetCounts
from snql.prompts.template import Formatter, format_prompts
from snql.prompts.types import Prompt, RawPrompt
from snql.writing.html import table

_WRITING = tuple(leaf.name for leaf in leaves(WritingOptions) if not leaf.aside)
"""How answers are written: as in training, but for their length."""


@dataclass(frozen=True)
class GuardTestResult:
    """How a guard did: its rows of ``guard_scores`` and ``guard_costs``, and what they say in plain sentences."""

    run: str
    run_id: int
    guard: str
    scores: pl.DataFrame
    costs: pl.DataFrame
    says: list[str]
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        return table(self.scores.filter(pl.col("kind") == "guard"), title=f"guard {self.guard}, tested as {self.run}")


def test(
    db: Database,
    guard: str,
    options: GuardTestOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> GuardTestResult:
    """Let the model answer other prompts, judge, and store how the guard and its controls did.

    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves the run's row with
    its reason and the answers so far: ``resume`` goes on there.
    """
    stored = guards.find_guard(db, guard)
    own = read_guard(db, guard)
    new = runs.NewRun("guard-test", options.run or guard, config_of(options, stored), options.seed)
    return run_job(
        db,
        new,
        lambda announce: _load(db, own, stored.run_id, new.config, options, announce, progress),
        lambda run_id: _summary(db, new.name, run_id, own),
        resume=resume,
        force=force,
        progress=progress,
    )


def _load(
    db: Database,
    guard: Guard,
    guard_run_id: int,
    settled: Mapping[str, object],
    options: GuardTestOptions,
    announce: Announce,
    progress: ProgressCallback,
) -> Loaded:
    """All that a trial needs. settled: what options and the guard's training come to (:func:`config_of`)."""
    inputs = _inputs(db, guard, guard_run_id, options, progress)
    judge_name = str(settled["judge"])
    check_labels_mean_harm(judge_name, options.prompts.prompts, options.benign)
    loader = judge_of(judge_name, inputs, options.models.device)
    specs = {"before": str(settled["model"])} | ({} if options.after is None else {"after": options.after})
    own = guard.template.template == "chat" and guard.template.chat_template is None
    announce()
    models = load_models(specs, options.models, own_template=own)
    check_model(guard, models["before"])
    writing = build(WritingOptions, {name: settled[name] for name in _WRITING if name in settled})
    room = writing.max_new_tokens
    prompts = put(inputs.read.sets.prompts, guard, Readers.of(models, options.models), room, progress)
    judge = loader()
    check_judges(db, [judge.info])
    variants = [records.Variant(number, role, role) for number, role in enumerate(models)]
    batches = plan_batches(models["before"], prompts, options.batch_size, room)
    trial = Trial(
        guard=guard,
        guard_run_id=guard_run_id,
        models=models,
        benign=inputs.benign,
        judge=judge,
        writing=writing,
        options=options,
    )
    return Loaded(Beginning.of(models, prompts, variants, inputs.read, batches), trial.work)


def _inputs(
    db: Database, guard: Guard, guard_run_id: int, options: GuardTestOptions, progress: ProgressCallback
) -> GuardInputs:
    """The prompts, without what the guard was trained on and its neurons were ranked on, unless they may overlap."""
    apart: tuple[str, ...] = ()
    seen: set[str] = set()
    if not options.allow_overlap:
        apart, seen = locate_runs_of(db, str(guard.facts["neurons"])), guards.texts_read(db, guard_run_id)
    return read_guard_inputs(db, options.prompts, options.benign, options.seed, apart, seen, progress=progress)


def config_of(options: GuardTestOptions, guard: StoredGuard) -> dict[str, object]:
    """The canonical configuration, and which guard it is: its number changes when it is trained anew."""
    as_in_training = ("template", "system", "response_prefix")
    own = {key: value for key, value in config(options).items() if key not in as_in_training}
    facts = guard.about["facts"]
    return own | {
        "prompts": options.every,
        "guard": guard.name,
        "guard_run_id": guard.run_id,
        "trained_on": facts["datasets"],
        "refuse_from": guard.threshold,
        "model": options.model or guard.about["model"],
        "judge": options.judge or facts["judge"],
        "threshold": facts["label_threshold"],
        **{name: guard.config[name] for name in _WRITING if name in guard.config},
        "max_new_tokens": options.max_new_tokens or guard.config["max_new_tokens"],
    }


def check_model(guard: Guard, model: LoadedModel) -> None:
    """Raise InputError unless the model is the one that the guard was trained on, file by file."""
    if model.model_id != guard.model_id:
        raise InputError(
            f"{model.spec.text} is not the model that the guard was trained on ({guard.model}): its files differ; name "
            "the same model with `model`"
        )


def formatter_of(guard: Guard, tokenizer: PreTrainedTokenizerBase) -> Formatter:
    """How prompts are put to the model: as in the guard's training."""
    words = guard.template
    chat = ChatTemplate(
        tokenizer=tokenizer,
        text=words.chat_template,
        options=words.options,
        day=date.today() if words.date is None else date.fromisoformat(words.date),
        is_dated=words.date is not None,
    )
    return Formatter(
        tokenizer=tokenizer,
        template=words.template,
        chat=chat if words.template == "chat" else None,
        system=words.system,
        response_prefix=words.response_prefix,
        special_tokens=words.special_tokens,
    )


def put(
    prompts: list[RawPrompt], guard: Guard, readers: Readers, room: int, progress: ProgressCallback = silent
) -> list[Prompt]:
    """Prompts as in training; raises InputError if one leaves no ``room`` new tokens in the context of all models."""
    found = format_prompts(prompts, formatter_of(guard, readers.tokenizer), progress)
    check_fit(found, readers, room)
    return found


def _summary(db: Database, name: str, run_id: int, guard: Guard) -> GuardTestResult:
    query = "SELECT * EXCLUDE (run_id) FROM guard_scores WHERE run_id = ? ORDER BY dataset, n_neurons, kind, measure"
    scores = db.frame(query, [run_id])
    order = "variant_id, dataset, guarded_by <> 'none', guarded_by"
    query = f"SELECT * EXCLUDE (run_id) FROM guard_costs WHERE run_id = ? ORDER BY {order}"  # noqa: S608
    costs = db.frame(query, [run_id])
    neurons = str(guard.facts["neurons"])
    ((guard_name,),) = db.rows("SELECT config ->> '$.guard' FROM runs WHERE run_id = ?", [run_id])
    says = sentences(scores, neurons)
    return GuardTestResult(name, run_id, guard_name, scores, costs, says, prompt_records.read_sets(db, run_id))
