"""``snql locate``: let one model write, let both read, score every neuron, store the ranking."""

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace

import polars as pl

from snql.contrast.keep import KeepRule, stage_activations
from snql.contrast.positions import Text, needs_completions, parse_positions, text_to_score
from snql.contrast.read import contrast_sums
from snql.contrast.sums import ContrastSums
from snql.db import records, runs
from snql.db.connection import Database
from snql.db.prompts import read_sets
from snql.db.scores import read_shape, statistics_frame, write_statistics
from snql.db.staging import Staging
from snql.errors import InputError, RunError
from snql.generation.batch import by_length
from snql.generation.decode import generate
from snql.generation.types import Completion
from snql.jobs import PromptOptions, begin_run, check_seed, tokenize
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet, Shape
from snql.progress import Progress, ProgressCallback, silent
from snql.prompts.inputs import read_inputs
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt

ROLES = ("before", "after")


@dataclass(frozen=True)
class LocateOptions:
    """Settings of a locate run; names and meanings are those of the command line's options."""

    before: str
    after: str
    source: PromptOptions
    positions: str = "generating"
    completions_by: str = "before"
    max_new_tokens: int = 256
    skip_last_layers: int = 1
    keep: str = "5%"
    batch_size: int = 16
    seed: int = 0
    load: LoadOptions = field(default_factory=LoadOptions)

    def __post_init__(self) -> None:
        parse_positions(self.positions)
        if self.completions_by not in ROLES:
            raise InputError(f"--completions-by {self.completions_by!r} is not known: use before or after")
        if self.batch_size < 1 or self.max_new_tokens < 1 or self.skip_last_layers < 0:
            raise InputError("--batch-size and --max-new-tokens must be at least 1, --skip-last-layers at least 0")
        check_seed(self.seed)

    def config(self) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        flat = asdict(self) | asdict(self.source) | asdict(self.load)
        return {key: value for key, value in flat.items() if key not in ("source", "load", "batch_size", "device")}


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

    Raises InputError before anything is written for bad input. A failure later leaves the run's row with its reason
    and the completions so far, which ``resume`` continues from.
    """
    new = runs.NewRun("locate", name, options.config(), options.seed)
    resumed = runs.check_free(db, new, resume=resume, force=force)
    if resumed is not None and resumed.status == "done":
        return _summary(db, name)
    keep = KeepRule.parse(options.keep)
    if keep.names(name):
        raise InputError(f"--keep {options.keep!r} names the run {name!r} itself: write a share such as --keep 5%")
    read = read_inputs(db, options.source, options.seed)
    models = load_models({"before": options.before, "after": options.after}, options.load)
    base = models["before"].base
    if options.skip_last_layers >= base.n_layers:
        raise InputError(f"--skip-last-layers {options.skip_last_layers} leaves none of {base.n_layers} layers")
    shape = models["before"].shape
    keep.check(Evaluator(db, shape))
    room = options.max_new_tokens if needs_completions(parse_positions(options.positions)) else 0
    prompts = tokenize(read, models["before"], room)
    writer = records.Variant(0, options.completions_by, options.completions_by)
    new = replace(new, device=str(base.device), dtype=base.dtype_name)
    run_id, prompts = begin_run(db, new, resumed, models, prompts, [writer], read, force=force)
    job = _Job(db, run_id, options, models, prompts, progress)
    with runs.recorded(db, run_id):
        job.run(keep, shape)
    return _summary(db, name)


@dataclass(frozen=True)
class _Job:
    db: Database
    run_id: int
    options: LocateOptions
    models: dict[str, LoadedModel]
    prompts: Sequence[Prompt]
    progress: ProgressCallback

    def run(self, keep: KeepRule, shape: Shape) -> None:
        batches = self._batches(self._texts(self._completions()))
        sums = contrast_sums(self.models["before"], self.models["after"], self._watched("contrast", batches))
        if not sums.n_tokens.any():
            raise RunError(f"no tokens at {self.options.positions} positions: every completion is empty")
        statistics = self._statistics(sums, shape)
        kept = keep.members(Evaluator(self.db, shape), statistics, shape)
        with Staging(self.db.path, self.run_id) as staging:
            if len(kept):
                stage_activations(
                    self.models["before"], self.models["after"], self._watched("keep", batches), kept, staging
                )
            self._store(statistics, kept, staging)

    def _completions(self) -> dict[int, Completion]:
        """Completions by prompt id: those stored already, and the rest written now, a batch a commit."""
        if not needs_completions(parse_positions(self.options.positions)):
            return {}
        stored = records.read_completions(self.db, self.run_id)
        done = {prompt_id: completion for (_, prompt_id), completion in stored.items()}
        writer = self.models[self.options.completions_by]
        waiting = [prompt for prompt in self.prompts if prompt.prompt_id not in done]
        for indices in by_length([len(p.input_ids) for p in waiting], self.options.batch_size):
            batch = [waiting[index] for index in indices]
            self.progress(Progress("generate", len(done), len(self.prompts), "prompts"))
            written = generate(writer, [p.input_ids for p in batch], self.options.max_new_tokens)
            self._commit(writer, batch, written)
            done |= {p.prompt_id: completion for p, completion in zip(batch, written, strict=True)}
        self.progress(Progress("generate", len(done), len(self.prompts), "prompts"))
        return done

    def _commit(self, writer: LoadedModel, batch: Sequence[Prompt], written: Sequence[Completion]) -> None:
        rows = [
            records.CompletionRow(0, prompt.prompt_id, writer.text(completion.token_ids), completion)
            for prompt, completion in zip(batch, written, strict=True)
        ]
        with self.db.write() as connection:
            records.write_completions(connection, self.run_id, rows)

    def _texts(self, completions: dict[int, Completion]) -> list[Text]:
        positions = parse_positions(self.options.positions)
        end_ids = self.models["before"].base.end_ids
        empty: tuple[int, ...] = ()
        return [
            text_to_score(
                prompt.prompt_id,
                prompt.input_ids,
                completions[prompt.prompt_id].token_ids if completions else empty,
                positions,
                end_ids,
            )
            for prompt in self.prompts
        ]

    def _batches(self, texts: Sequence[Text]) -> list[list[Text]]:
        scored = [text for text in texts if text.scored]
        order = by_length([len(text.token_ids) for text in scored], self.options.batch_size)
        return [[scored[index] for index in indices] for indices in order]

    def _watched(self, stage: str, batches: Sequence[Sequence[Text]]) -> Iterator[Sequence[Text]]:
        total = sum(len(batch) for batch in batches)
        done = 0
        for batch in batches:
            self.progress(Progress(stage, done, total, "texts"))
            yield batch
            done += len(batch)
        self.progress(Progress(stage, total, total, "texts"))

    def _statistics(self, sums: ContrastSums, shape: Shape) -> pl.DataFrame:
        columns = {
            "mean_before": sums.before.mean,
            "mean_after": sums.after.mean,
            "std_before": sums.before.std(),
            "std_after": sums.after.std(),
            "mean_difference": sums.after.mean - sums.before.mean,
        }
        n_ranked_layers = shape.n_layers - self.options.skip_last_layers
        return statistics_frame(shape, sums.change_scores(), columns, sums.n_tokens, n_ranked_layers)

    def _store(self, statistics: pl.DataFrame, kept: NeuronSet, staging: Staging) -> None:
        with self.db.write() as connection:
            write_statistics(connection, self.run_id, statistics)
            if len(kept):
                staging.import_activations(connection)
            runs.finish_run(connection, self.run_id)


def _summary(db: Database, name: str) -> LocateResult:
    ((run_id, n_prompts, n_tokens, n_ranked),) = db.rows(
        "SELECT run_id, n_prompts, n_tokens, n_ranked FROM locate_runs WHERE run = ?", [name]
    )
    ((n_kept,),) = db.rows(
        "SELECT count(DISTINCT (layer, expert, neuron)) FROM activation_rows WHERE run_id = ?", [run_id]
    )
    top = db.frame("FROM top_neurons(?, 10)", [name])
    shape = read_shape(db, name)
    sets = read_sets(db, run_id)
    return LocateResult(name, run_id, shape, n_prompts, n_tokens, n_ranked, n_kept, top, sets)
