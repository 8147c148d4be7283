"""``snql locate``: let one model write, let both read, score every neuron, store the ranking."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field

import polars as pl

from snql.contrast.job import LocateJob
from snql.contrast.keep import KeepRule
from snql.contrast.positions import needs_completions, parse_positions
from snql.contrast.scorers import CHANGE_SCORE, check_contrast_scorer
from snql.contrast.worker import ContrastSettings
from snql.db import activations, records, runs
from snql.db.connection import Database
from snql.db.prompts import read_sets
from snql.db.scores import read_shape
from snql.engines.base import Engine, EngineInfo, WorkOrder
from snql.engines.options import EngineOptions
from snql.engines.start import start_engine
from snql.errors import InputError
from snql.generation.batch import batch_of_each
from snql.jobs.begin import Beginning, tokenize
from snql.jobs.inputs import PromptInputs, read_inputs
from snql.jobs.options import check_seed
from snql.jobs.run import Loaded, run_job
from snql.jobs.work import Job
from snql.models.options import LoadOptions
from snql.neurons.sets import Shape
from snql.progress import ProgressCallback, silent
from snql.prompts.options import PromptOptions
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.stats.resampling import FEWEST, MOST
from snql.writing.html import table

ROLES = ("before", "after")
AUTO = "auto"
_NOT_IN_CONFIG = ("source", "load", "engine", "batch_size", "device")


@dataclass(frozen=True)
class LocateOptions:
    """Settings of a locate run; names and meanings are those of the command line's options.

    after_dtype: the number type of the model after, where it is not that of the model before: for a noise floor.

    batch_size: rows a batch, or ``auto`` for as many as a budget of tokens holds. store: where token-level activations
    go: ``rows``, ``parquet`` (half precision) or ``auto``. recompute: both models read, also where the writing model's
    activations could be taken while it writes. bootstrap: resamples of the prompts, for intervals of the scores.
    scorer: one of :data:`snql.contrast.scorers.CONTRAST`.
    """

    before: str
    after: str
    source: PromptOptions
    positions: str = "generating"
    completions_by: str = "before"
    max_new_tokens: int = 256
    skip_last_layers: int = 1
    keep: str = "5%"
    store: str = "auto"
    recompute: bool = False
    bootstrap: int = 0
    after_dtype: str | None = None
    scorer: str = CHANGE_SCORE
    batch_size: int | str = AUTO
    seed: int = 0
    load: LoadOptions = field(default_factory=LoadOptions)
    engine: EngineOptions = field(default_factory=EngineOptions)

    def __post_init__(self) -> None:
        parse_positions(self.positions)
        if self.completions_by not in ROLES:
            raise InputError(f"--completions-by {self.completions_by!r} is not known: use before or after")
        if self.store not in activations.STORES:
            raise InputError(f"--store {self.store!r} is not known: use {', '.join(activations.STORES)}")
        if isinstance(self.batch_size, str) and self.batch_size != AUTO:
            raise InputError(f"--batch-size {self.batch_size!r} is not known: use auto or a number of rows")
        smallest = 1 if isinstance(self.batch_size, str) else self.batch_size
        if smallest < 1 or self.max_new_tokens < 1 or self.skip_last_layers < 0:
            raise InputError("--batch-size and --max-new-tokens must be at least 1, --skip-last-layers at least 0")
        if self.bootstrap and not FEWEST <= self.bootstrap <= MOST:
            raise InputError(f"--bootstrap {self.bootstrap} is out of range: use 0 for none, or {FEWEST} to {MOST}")
        check_contrast_scorer(self.scorer)
        if self.bootstrap and self.scorer != CHANGE_SCORE:
            raise InputError(f"--bootstrap gives intervals of change scores: leave it out with --scorer {self.scorer}")
        check_seed(self.seed)

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        flat = asdict(self) | asdict(self.source) | asdict(self.load)
        return {key: value for key, value in flat.items() if key not in _NOT_IN_CONFIG}

    @property
    def settings(self) -> ContrastSettings:
        """What a worker must know of them."""
        return ContrastSettings(
            parse_positions(self.positions),
            self.completions_by,
            self.max_new_tokens,
            self.recompute,
            per_prompt=self.bootstrap > 0,
        )

    @property
    def room(self) -> int:
        """Tokens that a prompt must leave in the context."""
        return self.max_new_tokens if needs_completions(parse_positions(self.positions)) else 0


@dataclass(frozen=True)
class LocateResult:
    """What a locate run found.

    ``top`` has the ten highest-ranked neurons, best first; ``prompt_sets`` what became of the prompt sets' rows.
    """

    run: str
    run_id: int
    shape: Shape
    n_prompts: int
    n_tokens: int
    n_ranked: int
    n_kept: int
    top: pl.DataFrame
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        words = f"{self.n_prompts} prompts, {self.n_tokens:,} tokens, {self.n_ranked:,} of {self.shape.size:,} ranked"
        return table(self.top, title=f"locate run {self.run}: {words}")


def locate(
    db: Database,
    name: str,
    options: LocateOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> LocateResult:
    """Run a contrast and store it as run ``name``.

    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves the run's row with
    its reason and every batch that was committed, which ``resume`` continues from, to the same numbers.
    """
    new = runs.NewRun("locate", name, options.config(), options.seed)

    def load() -> Loaded:
        keep = KeepRule.parse(options.keep)
        if keep.names(name):
            raise InputError(f"--keep {options.keep!r} names the run {name!r} itself: write a share such as --keep 5%")
        read = read_inputs(db, options.source, options.seed)
        specs = {"before": options.before, "after": options.after}
        order = WorkOrder(specs, options.load, options.settings, options.after_dtype)
        with ExitStack() as held:
            engine = held.enter_context(start_engine(options.engine, order))
            beginning = _beginning(db, engine, read, keep, options)
            return Loaded(beginning, lambda job: _job(job, engine, options).run(keep, options.store), held.pop_all())

    return run_job(db, new, load, lambda _: _summary(db, name), resume=resume, force=force, progress=progress)


def _beginning(db: Database, engine: Engine, read: PromptInputs, keep: KeepRule, options: LocateOptions) -> Beginning:
    """Prompts and their plan; raises InputError for what does not go with the models."""
    info = engine.info
    if options.skip_last_layers >= info.shape.n_layers:
        raise InputError(f"--skip-last-layers {options.skip_last_layers} leaves none of {info.shape.n_layers} layers")
    keep.check(Evaluator(db, info.shape))
    prompts = tokenize(read, engine.tokenizer, info.context_length, options.room)
    if options.bootstrap and len(prompts) < 2:
        raise InputError("--bootstrap draws prompts anew: one prompt is too few, give at least two")
    return Beginning(
        device=info.device,
        dtype=info.dtype,
        models=info.models,
        prompts=prompts,
        variants=[records.Variant(0, options.completions_by, options.completions_by)],
        read=read,
        batches=plan(prompts, options, info),
    )


def _job(job: Job, engine: Engine, options: LocateOptions) -> LocateJob:
    return LocateJob(
        job=job,
        engine=engine,
        settings=options.settings,
        skip_last_layers=options.skip_last_layers,
        bootstrap=options.bootstrap,
        scorer=options.scorer,
        seed=options.seed,
    )


def plan(prompts: Sequence[Prompt], options: LocateOptions, info: EngineInfo) -> list[int]:
    """The batch of each prompt."""
    lengths = [len(prompt.input_ids) + options.room for prompt in prompts]
    return batch_of_each(lengths, options.batch_size, info.writing_tokens)


def _summary(db: Database, name: str) -> LocateResult:
    with db.reading():
        ((run_id, n_prompts, n_tokens, n_ranked),) = db.rows(
            "SELECT run_id, n_prompts, n_tokens, n_ranked FROM locate_runs WHERE run = ?", [name]
        )
        ((n_kept,),) = db.rows(
            """
            SELECT coalesce(any_value(s.n_neurons), 0) FROM runs JOIN neuron_sets AS s ON s.set_id = runs.kept_set_id
            WHERE run_id = ?
            """,
            [run_id],
        )
        top = db.frame("FROM top_neurons(?, 10)", [name])
        return LocateResult(
            name, run_id, read_shape(db, name), n_prompts, n_tokens, n_ranked, n_kept, top, read_sets(db, run_id)
        )
