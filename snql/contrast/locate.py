"""``snql locate``: let one model write, let both read, score every neuron, store the ranking."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import polars as pl

from snql.contrast.given import check_ids, given_texts, source_hash
from snql.contrast.job import LocateJob
from snql.contrast.keep import KeepRule
from snql.contrast.noise import said_of
from snql.contrast.options import LocateOptions
from snql.contrast.positions import parse_positions
from snql.contrast.worker import ContrastSettings
from snql.db import records, runs
from snql.db.connection import Database
from snql.db.prompts import read_sets
from snql.db.scores import read_shape
from snql.engines.base import Engine, EngineInfo, WorkOrder
from snql.engines.start import start_engine
from snql.errors import InputError
from snql.generation.batch import batch_of_each
from snql.jobs.begin import Beginning, Readers, tokenize
from snql.jobs.inputs import PromptInputs, day_of, read_inputs
from snql.jobs.run import Announce, Loaded, run_job
from snql.neurons.sets import Shape
from snql.options import config
from snql.progress import ProgressCallback, silent
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.writing.html import table


@dataclass(frozen=True)
class LocateResult:
    """What a locate run found.

    ``top`` has the ten highest-ranked neurons, best first; ``prompt_sets`` what became of the prompt sets'
    rows; ``notes`` what the numbers must be read with.
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
    notes: tuple[str, ...] = ()

    @property
    def noise(self) -> str | None:
        """What the notes say of the ranking being noise; None if they do not."""
        return said_of(self.notes)

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
    facts: Mapping[str, object] | None = None,
) -> LocateResult:
    """Run a contrast and store it as run ``name``.

    facts: stored with its settings, such as what it is a null of.

    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves the run's row with
    its reason and every batch that was committed, which ``resume`` continues from, to the same numbers.
    """
    read_from = {} if options.completions is None else {"completions_sha256": source_hash(options.completions)}
    new = runs.NewRun("locate", name, config(options) | read_from | dict(facts or {}), options.seed)

    def load(announce: Announce) -> Loaded:
        keep = KeepRule.parse(options.keep)
        if keep.names(name):
            raise InputError(f"`keep` {options.keep!r} names the run {name!r} itself: write a share such as `keep` 5%")
        read = read_inputs(db, options.prompts, options.seed, day_of(db, new, resume=resume), progress=progress)
        order = WorkOrder(
            options.specs, options.models, settings_of(options), options.after_dtype, options.prompts.own_template
        )
        announce()
        with ExitStack() as held:
            engine = held.enter_context(start_engine(options.engine, order))
            beginning = _beginning(db, engine, read, keep, options, progress)
            return Loaded(beginning, lambda job: LocateJob(job, engine, options).run(keep), held.pop_all())

    return run_job(db, new, load, lambda _: _summary(db, name), resume=resume, force=force, progress=progress)


def settings_of(options: LocateOptions) -> ContrastSettings:
    """What a worker must know of them."""
    return ContrastSettings(
        parse_positions(options.positions),
        options.role,
        options.writing,
        options.recompute,
        per_prompt=options.bootstrap > 0,
    )


def _beginning(
    db: Database,
    engine: Engine,
    read: PromptInputs,
    keep: KeepRule,
    options: LocateOptions,
    progress: ProgressCallback,
) -> Beginning:
    """Prompts and their plan; raises InputError for what does not go with the models."""
    info = engine.info
    if options.skip_last_layers >= info.shape.n_layers:
        raise InputError(f"`skip_last_layers` {options.skip_last_layers} leaves none of {info.shape.n_layers} layers")
    keep.check(Evaluator(db, info.shape))
    readers = Readers(
        tokenizer=engine.tokenizer,
        context=info.context,
        n_embeddings=info.n_embeddings,
        specs=options.specs,
        trust_remote_code=options.models.trust_remote_code,
    )
    given = tokenize(read, readers, options.room, progress)
    prompts = given.prompts
    if options.bootstrap and len(prompts) < 2:
        raise InputError("`bootstrap` draws prompts anew: one prompt is too few, give at least two")
    texts = None
    if options.completions is not None:
        texts = given_texts(db, options, options.completions, prompts, given.formatter)
        check_ids(texts, prompts, info.n_embeddings)
    return Beginning(
        device=info.device,
        dtype=info.dtype,
        models=info.models,
        prompts=prompts,
        variants=[records.Variant(0, options.role, options.role)],
        read=given.read,
        batches=plan(prompts, options, info),
        notes=() if texts is None else texts.notes,
        completions=None if texts is None else texts.texts,
    )


def plan(prompts: Sequence[Prompt], options: LocateOptions, info: EngineInfo) -> list[int]:
    """The batch of each prompt."""
    lengths = [len(prompt.input_ids) + options.room for prompt in prompts]
    return batch_of_each(lengths, options.writing.batch_size, info.writing_tokens)


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
            run=name,
            run_id=run_id,
            shape=read_shape(db, name),
            n_prompts=n_prompts,
            n_tokens=n_tokens,
            n_ranked=n_ranked,
            n_kept=n_kept,
            top=top,
            prompt_sets=read_sets(db, run_id),
            notes=runs.read_notes(db, run_id),
        )
