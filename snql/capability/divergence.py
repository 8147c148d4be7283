"""``snql divergence``: how much nearer a patch brings the recipient to the donor's next-token distributions.

Both models and the patched one read completions that the donor wrote: seconds in place of a sweep that writes. A screen
before a judge is asked, never instead of it. Of a patch run without a donor: how far it moves the model from itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import polars as pl

from snql.capability import completions
from snql.capability.comparing import Comparison
from snql.capability.completions import Completed, WrittenBy
from snql.capability.options import DivergenceOptions
from snql.db import runs
from snql.db.capability import is_own
from snql.db.connection import Database
from snql.db.prompts import prompts_of
from snql.db.records import Variant
from snql.db.scores import read_run_scores
from snql.errors import InputError
from snql.jobs.begin import Beginning
from snql.jobs.run import Announce, Loaded, run_job
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.options import config
from snql.patching.interventions import Where
from snql.patching.subject import Subject
from snql.patching.variants import VariantPlan, expressions, unmatched
from snql.progress import ProgressCallback, silent
from snql.writing.html import table

SUFFIX = "-divergence"
"""Of the name of a run that reads another's completions: two runs of one name could not be told apart."""

_FROM_RUN = ("recipient", "donor", "mode", "freeze", "steps", "first", "seed")


@dataclass(frozen=True)
class DivergenceResult:
    """What a divergence run found: its rows of ``screened_effects``. own: recipient and donor are one model."""

    run: str
    run_id: int
    effects: pl.DataFrame
    own: bool = False

    def _repr_html_(self) -> str:
        columns = (
            *("variant", "n_neurons", "dataset", "kl_recipient", "kl_patched"),
            *("closed", "closed_ci_low", "closed_ci_high", "judge", "effect"),
        )
        return table(self.effects, columns, title=f"divergence run {self.run}: share of the divergence closed")


def divergence(
    db: Database,
    name: str,
    options: DivergenceOptions | None = None,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> DivergenceResult:
    """Read the donor's stored completions under recipient, donor and every patched variant, and compare.

    Without ``completions``, ``name`` is the patch run whose own they are, and the new run is NAME-divergence.
    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves what has been read,
    which ``resume`` continues from.
    """
    options = options or DivergenceOptions()
    source = completions.find_completions(db, options.completions or name)
    name = name if options.completions is not None else f"{name}{SUFFIX}"
    settings = settings_of(options, source)

    def load(announce: Announce) -> Loaded:
        plan = _plan(db, options)
        plan.check()
        specs = {role: settings[role] for role in ("recipient", "donor")}
        announce()
        models = load_models(specs, options.models, own_template=False)  # they read stored token ids
        _check_models(models, source, settings, own_sets=not options.neurons)
        variants = _variants(db, models["recipient"], plan, source)
        subject = Subject.of(db, models, variants, settings["mode"], settings["seed"], freeze=settings["freeze"])
        prompts = prompts_of(db, source.run_id)
        texts = completions.completed_prompts(db, source, prompts)
        _check_lengths(texts, subject, source)
        compared = Comparison(subject, Where(settings["steps"], settings["first"]), texts, settings["seed"])
        return Loaded(Beginning.of(models, prompts, variants, notes=unmatched(variants)), compared.work)

    new = runs.NewRun("divergence", name, _config(options, source, settings), settings["seed"])
    found = partial(_summary, db, name)
    return run_job(db, new, load, found, resume=resume, force=force, progress=progress)


def settings_of(options: DivergenceOptions, source: WrittenBy) -> dict[str, Any]:
    """What is done, from the options and the run of the completions; raises InputError if a model is not known."""
    known = {name: source.config.get(name) for name in _FROM_RUN} if source.kind == "patch" else {}
    if options.neurons:
        known = {name: known.get(name) for name in ("recipient", "donor")}
    elif source.kind != "patch":
        raise InputError(f"{source.run!r} is a locate run: say which neurons, with `neurons`")
    if source.role == "recipient":  # no donor: it is compared with itself, unpatched
        known["donor"] = source.config["recipient"]
    given = {"recipient": options.recipient, "donor": options.donor, "mode": options.mode}
    known |= {name: value for name, value in given.items() if value is not None}
    for name in ("recipient", "donor"):
        if known.get(name) is None:
            raise InputError(f"which {name}? {source.run!r} is a locate run: give `{name}`")
    defaults = {"mode": "donor", "freeze": False, "steps": "all", "first": None, "seed": options.seed}
    return {name: default if known.get(name) is None else known[name] for name, default in defaults.items()} | {
        "recipient": known["recipient"],
        "donor": known["donor"],
    }


def _config(options: DivergenceOptions, source: WrittenBy, settings: dict[str, Any]) -> dict[str, object]:
    """The canonical configuration. The hash of the other run's one says whether it has been replaced meanwhile."""
    read = {
        "completions": source.run,
        "completions_kind": source.kind,
        "completions_sha256": source.config_sha256,
        "samples": source.n_samples,
    }
    return config(options) | read | settings


def _check_models(
    models: dict[str, LoadedModel], source: WrittenBy, settings: dict[str, Any], *, own_sets: bool
) -> None:
    """Raise InputError unless the donor is who wrote, and a run's own sets are read with its own recipient."""
    expected = {"donor": source.writer} | ({"recipient": source.models["recipient"]} if own_sets else {})
    for role, model_id in expected.items():
        if models[role].model_id != model_id:
            raise InputError(
                f"{role} {settings[role]} is not the {source.role if role == 'donor' else role} model of "
                f"{source.run!r}: its files differ; the completions to read must be the donor's own"
            )


def _check_lengths(texts: Sequence[Completed], subject: Subject, source: WrittenBy) -> None:
    """Raise InputError if a completion is longer than one of the models can read."""
    context = subject.context
    longest = max((len(each.prompt.input_ids) + len(each.token_ids) - 1 for each in texts), default=0)
    if context is not None and longest > context.length:
        raise InputError(
            f"a prompt of {source.run!r} has {longest} tokens with its completion, which is longer than {context}: "
            "read those of a run with a lower `max_new_tokens`"
        )


def _plan(db: Database, options: DivergenceOptions) -> VariantPlan:
    """What the options name; nothing, where the sets are those of the run."""
    if not options.neurons:
        return VariantPlan(db, ())
    wanted = expressions(
        options.neurons, options.sweep, None, lambda run: len(read_run_scores(db, run).ids), options.sweep_layers
    )
    return VariantPlan(db, wanted, {"matched": options.random})


def _variants(db: Database, recipient: LoadedModel, plan: VariantPlan, source: WrittenBy) -> list[Variant]:
    """Recipient, donor, sets and controls: what the plan names, or those of a patch run."""
    if not plan.wanted:
        return completions.patched_variants(db, source.run_id, recipient.shape)
    return plan.of(recipient.shape)


def _summary(db: Database, name: str, run_id: int) -> DivergenceResult:
    query = "SELECT * EXCLUDE (run_id) FROM screened_effects WHERE run_id = ? ORDER BY dataset, variant_id, judge"
    return DivergenceResult(name, run_id, db.frame(query, [run_id]), is_own(db, run_id))
