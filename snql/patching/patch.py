"""``snql patch``: write with neurons patched, judge, and measure the causal effect."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace

import polars as pl

from snql.db import records, runs
from snql.db.connection import Database
from snql.db.judgements import check_judges
from snql.db.prompts import locate_runs, read_sets
from snql.errors import InputError
from snql.generation.decode import generate
from snql.generation.types import Completion
from snql.jobs import PromptOptions, begin_run, check_seed, describe_model, tokenize
from snql.judges.base import Judge, judge_loader
from snql.judges.judging import judge_run
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet
from snql.neurons.syntax import runs_named
from snql.patching.engine import PatchRow, patch_and_generate
from snql.patching.variants import DONOR, RECIPIENT, expressions, plan_variants
from snql.progress import Progress, ProgressCallback, silent
from snql.prompts.inputs import read_inputs
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class PatchOptions:
    """Settings of a patch run; names and meanings are those of the command line's options.

    Prompts of the locate runs that the neuron expressions name are left out, unless ``allow_overlap``.
    """

    recipient: str
    donor: str
    neurons: tuple[str, ...]
    source: PromptOptions
    judges: tuple[str, ...] = ("refusal",)
    sweep: tuple[str, ...] = ()
    random: int = 0
    max_new_tokens: int = 128
    batch_size: int = 64
    seed: int = 0
    allow_overlap: bool = False
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        if self.batch_size < 1 or self.max_new_tokens < 1 or self.random < 0:
            raise InputError("--batch-size and --max-new-tokens must be at least 1, --random at least 0")
        if not self.judges:
            raise InputError("which judge? give --judge, such as --judge refusal")
        check_seed(self.seed)

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        flat = asdict(self) | asdict(self.source) | asdict(self.load)
        return {key: value for key, value in flat.items() if key not in ("source", "load", "batch_size", "device")}


@dataclass(frozen=True)
class PatchResult:
    """What a patch run found.

    ``effects`` has the rows of ``causal_effects`` that belong to it; ``prompt_sets`` what became of the prompt sets'
    rows.
    """

    run: str
    run_id: int
    effects: pl.DataFrame
    prompt_sets: list[SetCounts]


def patch(
    db: Database,
    name: str,
    options: PatchOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> PatchResult:
    """Run dynamic activation patching for every variant, judge the completions, and store effects as run ``name``.

    Raises InputError before anything is written for bad input. A failure later leaves the run's row with its reason
    and the completions so far, which ``resume`` continues from.
    """
    new = runs.NewRun("patch", name, options.config(), options.seed)
    resumed = runs.check_free(db, new, resume=resume, force=force)
    if resumed is not None and resumed.status == "done":
        return _summary(db, name, resumed.run_id)
    wanted = expressions(options.neurons, options.sweep)
    ranked_by = () if options.allow_overlap else locate_runs(db, runs_named(wanted))
    read = read_inputs(db, options.source, options.seed, ranked_by)
    loaders = [judge_loader(judge) for judge in dict.fromkeys(options.judges)]
    models = load_models({"recipient": options.recipient, "donor": options.donor}, options.load)
    base = models["recipient"].base
    evaluator = Evaluator(db, models["recipient"].shape)
    variants = plan_variants(evaluator, wanted, options.random)
    prompts = tokenize(read, base.tokenizer, base.context_length, options.max_new_tokens)
    judges = [load(options.load.device) for load in loaders]
    check_judges(db, [judge.info for judge in judges])
    new = replace(new, device=str(base.device), dtype=base.dtype_name)
    described = {role: describe_model(model) for role, model in models.items()}
    run_id, prompts = begin_run(db, new, resumed, described, prompts, variants, read, force=force)
    with runs.recorded(db, run_id):
        _Job(db, run_id, options, models, prompts, variants, progress).run(judges)
    return _summary(db, name, run_id)


@dataclass(frozen=True)
class _Task:
    """One completion still to be written."""

    prompt: Prompt
    variant: records.Variant


@dataclass(frozen=True)
class _Job:
    db: Database
    run_id: int
    options: PatchOptions
    models: dict[str, LoadedModel]
    prompts: Sequence[Prompt]
    variants: Sequence[records.Variant]
    progress: ProgressCallback

    def run(self, judges: Sequence[Judge]) -> None:
        self._generate()
        judge_run(self.db, self.run_id, judges, seed=self.options.seed, progress=self.progress)
        with self.db.write() as connection:
            runs.finish_run(connection, self.run_id)

    def _generate(self) -> None:
        """Write what is not stored yet, a batch a commit."""
        done = set(records.read_completions(self.db, self.run_id))
        total = len(self.prompts) * len(self.variants)
        n_done = len(done)
        for batch in self._batches(done):
            self.progress(Progress("patch", n_done, total, "completions"))
            self._commit(batch, self._write(batch))
            n_done += len(batch)
        self.progress(Progress("patch", n_done, total, "completions"))

    def _batches(self, done: set[tuple[int, int]]) -> list[list[_Task]]:
        """Batches of one kind (recipient, donor or patched), longest prompts first; a prompt's variants together."""
        ordered = sorted(self.prompts, key=lambda prompt: (-len(prompt.input_ids), prompt.prompt_id))
        batches = []
        for roles in (("recipient",), ("donor",), ("patched",)):
            tasks = [
                _Task(prompt, variant)
                for prompt in ordered
                for variant in self.variants
                if variant.role in roles and (variant.variant_id, prompt.prompt_id) not in done
            ]
            size = self.options.batch_size
            batches += [tasks[start : start + size] for start in range(0, len(tasks), size)]
        return batches

    def _write(self, batch: Sequence[_Task]) -> list[Completion]:
        kind = batch[0].variant.variant_id
        if kind in (RECIPIENT, DONOR):
            model = self.models["recipient" if kind == RECIPIENT else "donor"]
            return generate(model, [task.prompt.input_ids for task in batch], self.options.max_new_tokens)
        rows = [PatchRow(task.prompt.input_ids, _members(task.variant)) for task in batch]
        return patch_and_generate(self.models["recipient"], self.models["donor"], rows, self.options.max_new_tokens)

    def _commit(self, batch: Sequence[_Task], written: Sequence[Completion]) -> None:
        model = self.models["recipient"]
        rows = [
            records.CompletionRow(
                task.variant.variant_id, task.prompt.prompt_id, model.text(completion.token_ids), completion
            )
            for task, completion in zip(batch, written, strict=True)
        ]
        with self.db.write() as connection:
            records.write_completions(connection, self.run_id, rows)


def _members(variant: records.Variant) -> NeuronSet:
    if variant.members is None:
        raise TypeError(f"variant {variant.name} has no neurons")
    return variant.members


def _summary(db: Database, name: str, run_id: int) -> PatchResult:
    effects = db.frame(
        "SELECT * EXCLUDE (run_id) FROM causal_effects WHERE run_id = ? ORDER BY judge, dataset, variant_id",
        [run_id],
    )
    return PatchResult(name, run_id, effects, read_sets(db, run_id))
