"""``snql patch``: write with neurons patched, judge, and measure the causal effect."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import polars as pl
import torch

from snql.db import runs
from snql.db.connection import Database
from snql.db.judgements import check_judges
from snql.db.named_sets import runs_behind
from snql.db.prompts import locate_runs, read_sets
from snql.db.scores import read_run_scores
from snql.errors import InputError
from snql.generation import budget
from snql.generation.sampling import Sampling
from snql.generation.slots import check_cache
from snql.jobs.begin import Beginning, tokenize
from snql.jobs.inputs import read_inputs
from snql.jobs.options import check_seed
from snql.jobs.run import Loaded, run_job
from snql.jobs.work import Job
from snql.judges.base import Loader
from snql.judges.judging import judge_run
from snql.judges.options import JudgeOptions
from snql.judges.registry import judge_loader
from snql.judges.signs import given_signs
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.neurons.syntax import runs_named
from snql.patching.interventions import Where
from snql.patching.job import PatchJob
from snql.patching.modes import Mode
from snql.patching.rows import Writing
from snql.patching.subject import Subject
from snql.patching.variants import expressions, plan_variants
from snql.progress import ProgressCallback, silent
from snql.prompts.options import PromptOptions
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.writing.html import table

AUTO = "auto"
STEPS = ("prompt", "completion", "all")

_MOST = 10_000

_NOT_IN_CONFIG = ("source", "load", "batch_size", "device")
_ONLY_WHERE_GIVEN = ("judge_signs", "rubric")


@dataclass(frozen=True)
class PatchOptions:
    """Settings of a patch run; names and meanings are those of the command line's options.

    donor: None only where the mode needs none; effects are then changes without a ratio. mode: what chosen neurons
    become (:mod:`snql.patching.modes`). freeze: the donor writes, and its chosen neurons are the recipient's. steps,
    first: at which positions. sweep, window: sizes, or windows of ranks, of the locate runs in ``neurons``. random,
    random_anywhere: controls for each set. temperature: 0 is greedy. samples: completions of each prompt by each
    variant. trace: store what the patched model would have written without its patch. drafts: whether what the
    recipient wrote is read at once in place of written step by step; None: in float32. batch_size: completions that are
    written at once, or ``auto``. Prompts of the locate runs that the neuron expressions name are left out, unless
    ``allow_overlap``. judge_signs: ``cost``, ``reward`` or ``JUDGE=cost``, where a judge does not say itself. rubric:
    file with what an endpoint or a guard is asked.
    """

    recipient: str
    donor: str | None
    neurons: tuple[str, ...]
    source: PromptOptions
    judges: tuple[str, ...] = ("refusal",)
    mode: str = "donor"
    freeze: bool = False
    steps: str = "all"
    first: int | None = None
    sweep: tuple[str, ...] = ()
    window: str | None = None
    random: int = 0
    random_anywhere: int = 0
    max_new_tokens: int = 128
    temperature: float = 0.0
    top_p: float = 1.0
    samples: int = 1
    trace: bool = True
    drafts: bool | None = None
    batch_size: int | str = AUTO
    seed: int = 0
    allow_overlap: bool = False
    load: LoadOptions = field(default_factory=LoadOptions)
    judge_signs: tuple[str, ...] = ()
    rubric: Path | None = None

    def __post_init__(self) -> None:
        if isinstance(self.batch_size, str) and self.batch_size != AUTO:
            raise InputError(f"--batch-size {self.batch_size!r} is not known: use auto or a number of completions")
        smallest = 1 if isinstance(self.batch_size, str) else self.batch_size
        if min(smallest, self.max_new_tokens, self.samples) < 1 or min(self.random, self.random_anywhere) < 0:
            raise InputError(
                "--batch-size, --max-new-tokens and --samples must be at least 1, --random and --random-anywhere at "
                "least 0"
            )
        if max(self.samples, self.random, self.random_anywhere) > _MOST:
            raise InputError(f"--samples, --random and --random-anywhere can be at most {_MOST}")
        if not self.judges:
            raise InputError("which judge? give --judge, such as --judge refusal")
        given_signs(self.judges, self.judge_signs)
        mode = Mode.parse(self.mode)
        if self.donor is None and mode.kind == "donor":
            raise InputError("--mode donor needs a donor: give --donor, or another mode such as --mode zero")
        if self.freeze and mode.kind != "donor":
            raise InputError(f"--freeze is about the donor's activations: it does not go with --mode {self.mode}")
        self._check_positions()
        greedy = self.sampling.greedy
        if self.samples > 1 and greedy:
            raise InputError(f"--samples {self.samples} would all be the same: give --temperature, such as 1")
        check_seed(self.seed)

    def _check_positions(self) -> None:
        if self.steps not in STEPS:
            raise InputError(f"--steps {self.steps!r} is not known: use {', '.join(STEPS)}")
        if self.first is not None and (self.first < 1 or self.steps == "prompt"):
            raise InputError(
                f"--first {self.first} is for tokens of the completion: use at least 1, with --steps completion or all"
            )

    @property
    def sampling(self) -> Sampling:
        """How tokens are chosen."""
        return Sampling(self.temperature, self.top_p)

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on.

        Signs and a rubric are in it only where they were given: runs of earlier versions have none, and go on.
        """
        flat = asdict(self) | asdict(self.source) | asdict(self.load)
        flat["rubric"] = None if self.rubric is None else str(self.rubric)
        without = (*_NOT_IN_CONFIG, *(name for name in _ONLY_WHERE_GIVEN if not flat[name]))
        return {key: value for key, value in flat.items() if key not in without}

    def judge_loaders(self) -> list[Loader]:
        """What loads the judges, each once; raises InputError for a judge that there is not."""
        judges = tuple(dict.fromkeys(self.judges))
        signs = given_signs(judges, self.judge_signs)
        asked = JudgeOptions(device=self.load.device, rubric=self.rubric)
        return [judge_loader(judge, replace(asked, sign=signs.get(judge))) for judge in judges]


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

    def _repr_html_(self) -> str:
        columns = (
            "neurons", "n_neurons", "dataset", "judge", "n_prompts", "mean_recipient", "mean_patched", "mean_donor",
            "effect", "ci_low", "ci_high", "confidence",
        )  # fmt: skip
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
    new = runs.NewRun("patch", name, options.config(), options.seed)

    def load() -> Loaded:
        wanted = expressions(
            options.neurons, options.sweep, options.window, lambda run: len(read_run_scores(db, run).ids)
        )
        ranked_by = () if options.allow_overlap else locate_runs(db, runs_named(wanted) | runs_behind(db, wanted))
        read = read_inputs(db, options.source, options.seed, ranked_by)
        loaders = options.judge_loaders()
        subject = _subject(db, wanted, options)
        base = subject.models["recipient"].base
        prompts = tokenize(read, base.tokenizer, base.context_length, options.max_new_tokens)
        judges = [load() for load in loaders]
        check_judges(db, [judge.info for judge in judges])
        writing, rows = _writing(options, subject), _rows(options, subject, prompts)

        def work(job: Job) -> None:
            PatchJob(job, subject, writing, options.samples, rows, options.trace).write()
            judge_run(job, judges, options.seed)

        return Loaded(Beginning.of(subject.models, prompts, subject.variants, read), work)

    found = partial(_summary, db, name)
    return run_job(db, new, load, found, resume=resume, force=force, progress=progress)


def _subject(db: Database, wanted: Sequence[str], options: PatchOptions) -> Subject:
    """Load the models; raises ModelError, ExpressionError or InputError."""
    specs = {"recipient": options.recipient} | ({} if options.donor is None else {"donor": options.donor})
    models = load_models(specs, options.load)
    evaluator = Evaluator(db, models["recipient"].shape)
    variants = plan_variants(
        evaluator, wanted, options.random, options.random_anywhere, donor=options.donor is not None
    )
    for model in models.values():
        check_cache(model)
    return Subject.of(db, models, variants, options.mode, options.seed, freeze=options.freeze)


def _writing(options: PatchOptions, subject: Subject) -> Writing:
    target, source = subject.target, subject.source
    drafts = target.base.model.dtype == torch.float32 if options.drafts is None else options.drafts
    prefill = budget.choosing_tokens(target) if drafts else budget.reading_tokens(target)
    if source is not None and source.base is not target.base:  # its activations of all layers wait for the target
        prefill = min(prefill, budget.holding_tokens(source))
    return Writing(
        max_new_tokens=options.max_new_tokens,
        end_ids=target.base.end_ids,
        sampling=options.sampling,
        seed=options.seed,
        where=Where(options.steps, options.first),
        prefill_tokens=prefill,
        drafts=drafts,
    )


def _rows(options: PatchOptions, subject: Subject, prompts: Sequence[Prompt]) -> int:
    """How many completions are written at once."""
    if not isinstance(options.batch_size, str):
        return options.batch_size
    longest = max(len(prompt.input_ids) for prompt in prompts) + options.max_new_tokens
    return budget.patching_rows(subject.target, longest, reads_source=subject.intervention.reads_source)


def _summary(db: Database, name: str, run_id: int) -> PatchResult:
    effects = db.frame(
        "SELECT * EXCLUDE (run_id) FROM causal_effects WHERE run_id = ? ORDER BY judge, dataset, variant_id",
        [run_id],
    )
    return PatchResult(name, run_id, effects, read_sets(db, run_id))
