"""The stages of a locate run: contrast, score, keep, store. Each commits as it goes and begins where it left off."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from snql.contrast.bootstrap import bootstrap_intervals
from snql.contrast.keep import KeepRule, TextBatch, keep_plan
from snql.contrast.noise import equal_scores_note, relative_differences, rounding_note
from snql.contrast.options import LocateOptions
from snql.contrast.positions import Positions, Text, parse_positions, text_to_score
from snql.contrast.prompt_sums import staged_chunks
from snql.contrast.scorers import contrast_scores
from snql.contrast.store import store_chunks
from snql.contrast.sums import ContrastStatistics, ContrastSums
from snql.contrast.tokens import Layout
from snql.contrast.worker import Collected, CollectTask, ContrastResult, ContrastTask
from snql.db import activations, batches, records, runs
from snql.db.batches import BatchRow, Given
from snql.db.prompt_sums import (
    PromptSumsReader,
    forget_prompt_sums,
    has_intervals,
    write_intervals,
    write_prompt_sums,
)
from snql.db.scores import read_ranks, statistics_frame, write_statistics
from snql.db.staging import Staging
from snql.engines.base import Engine
from snql.errors import RunError
from snql.generation.rules import StopTexts
from snql.jobs.work import Done, Job
from snql.neurons.sets import NeuronSet
from snql.rankings.evaluate import Evaluator

_PROMPTS_AT_ONCE = 500


def _prompt_file(batch: int) -> str:
    """The name of a batch's sums per prompt in the staging folder."""
    return f"prompts-{batch:06d}.safetensors"


@dataclass(frozen=True)
class LocateJob:
    """A run whose row, models, prompts and plan are in the database."""

    job: Job
    engine: Engine
    options: LocateOptions

    @property
    def positions(self) -> Positions:
        """Where tokens are scored."""
        return parse_positions(self.options.positions)

    def run(self, keep: KeepRule) -> None:
        """Do what is not done yet."""
        kept, chosen = self._kept() or self._score(self._contrast(), keep)
        if self.options.bootstrap:
            self._bootstrap()
        if len(kept):
            self._store(self._keep(kept), chosen)
        # Files first: a process that is killed before the end leaves a run to resume, not a folder that nobody owns.
        self._staging.remove()

    def _kept(self) -> tuple[NeuronSet, str] | None:
        """The neurons whose activations are kept, and where, if the run has come so far."""
        with self.job.db.reading():
            set_id, store = runs.read_kept(self.job.db, self.job.run_id)
            if set_id is None or store is None:
                return None
            return records.read_set(self.job.db, set_id, self.engine.info.shape), store

    def _contrast(self) -> ContrastSums:
        """Write and contrast the batches of the plan that are not done; returns the sums of all."""
        with self.job.db.reading():
            sizes = batches.planned(self.job.db, self.job.run_id)
            done = batches.read_batches(self.job.db, self.job.run_id, "contrast")
        shape = self.engine.info.shape
        sums = ContrastSums(shape.n_layers, shape.n_neurons)
        if done:
            sums = ContrastSums.restored(self._staging.load_arrays(str(done[-1].file), str(done[-1].sha256)))
        watch = self.job.watch("contrast", sum(row.n_prompts for row in done), sum(sizes), "prompts")
        given: dict[int, list[Given]] = {}

        def merged() -> Iterator[Done[ContrastResult]]:
            for result in self.engine.contrast(self._contrast_tasks(sizes, len(done), given), watch.tick):
                sums.merge(result.sums)
                yield Done([result], len(given[result.batch]), result.n_tokens)

        self.job.work_through(watch, merged(), lambda results: self._commit_contrast(results, given, sums))
        return sums

    def _contrast_tasks(
        self, sizes: Sequence[int], first: int, given: dict[int, list[Given]]
    ) -> Iterator[ContrastTask]:
        """The batches from ``first`` on; their prompts are put into ``given``, which is read some batches ahead."""
        for batch in range(first, len(sizes)):
            if batch not in given:
                last = batch
                while last + 1 < len(sizes) and sum(sizes[batch : last + 2]) <= _PROMPTS_AT_ONCE:
                    last += 1
                given |= batches.planned_prompts(self.job.db, self.job.run_id, batch, last)
            completions = None
            if self.options.completions is not None:
                texts = batches.texts_of(self.job.db, self.job.run_id, [each.prompt_id for each in given[batch]])
                completions = tuple(text.completion for text in texts)
            yield ContrastTask(batch, tuple(prompt.input_ids for prompt in given[batch]), completions)

    def _commit_contrast(
        self, results: Sequence[ContrastResult], given: dict[int, list[Given]], sums: ContrastSums
    ) -> None:
        """Commit finished batches with the sums up to them."""
        name = f"sums-{results[-1].batch:06d}.safetensors"
        for result in results:
            if result.prompt_sums is not None:
                ids = [prompt.prompt_id for prompt in given[result.batch]]
                self._staging.save_arrays(_prompt_file(result.batch), result.prompt_sums.arrays(ids))
        sha256 = self._staging.save_arrays(name, sums.state())
        with self.job.db.write() as connection:
            for result in results:
                prompts = given.pop(result.batch)
                if result.completions:
                    records.write_completions(connection, self.job.run_id, self._completions(prompts, result))
                row = BatchRow("contrast", result.batch, len(prompts), result.n_tokens, file=name, sha256=sha256)
                batches.write_batch(connection, self.job.run_id, row)
        self._staging.keep_only([name, *map(_prompt_file, range(results[-1].batch + 1))])

    def _score(self, sums: ContrastSums, rule: KeepRule) -> tuple[NeuronSet, str]:
        """Rank every neuron, and decide whose activations are kept and where."""
        shape = self.engine.info.shape
        found = sums.statistics()
        if not found.count.any():
            raise RunError(f"no tokens at {self.positions} positions: every completion is empty")
        columns = {
            "mean_before": found.mean_before,
            "mean_after": found.mean_after,
            "std_before": found.std_before,
            "std_after": found.std_after,
            "mean_difference": found.mean_differences,
        }
        n_ranked_layers = shape.n_layers - self.options.skip_last_layers
        known = columns | {"n_tokens": found.count.astype(np.float64)}
        scores = contrast_scores(self.options.scorer, found.change_scores, known)
        statistics = statistics_frame(shape, scores, columns, found.count, n_ranked_layers)
        self._note_noise(found, statistics)
        kept = rule.members(Evaluator(self.job.db, shape), statistics, shape)
        chosen = activations.store_of(self.options.store, int(found.count.max()) * len(kept))
        with self.job.db.write() as connection:
            write_statistics(connection, self.job.run_id, statistics)
            runs.set_kept(connection, self.job.run_id, records.save_set(connection, kept), chosen)
        return kept, chosen

    def _note_noise(self, found: ContrastStatistics, statistics: pl.DataFrame) -> None:
        """Say, and keep, that a ranking means nothing."""
        dtypes = self.engine.info.dtype.split("/")
        differences = relative_differences(found.change_scores, found.mean_squares)
        note = rounding_note(differences, dtypes, "before and after") or equal_scores_note(statistics)
        if note is not None:
            self.job.note(note)

    def _bootstrap(self) -> None:
        """Bring the sums per prompt into the database, and draw intervals from them."""
        shape = self.engine.info.shape
        with self.job.db.reading():
            if has_intervals(self.job.db, self.job.run_id):
                return
            ((name,),) = self.job.db.rows("SELECT name FROM runs WHERE run_id = ?", [self.job.run_id])
            batch_rows = batches.read_batches(self.job.db, self.job.run_id, "contrast")
            ranks = read_ranks(self.job.db, self.job.run_id, shape)
        self.job.store(forget_prompt_sums)
        files = [self._staging.path(_prompt_file(row.batch)) for row in batch_rows]
        watch = self.job.watch("bootstrap", 0, shape.size, "neurons")
        for chunk in staged_chunks(files, shape):
            self.job.store(write_prompt_sums, chunk.rows)
            watch.advance(chunk.columns.stop - chunk.columns.start, 0)
            self.job.stop.here()
        with self.job.db.reading():
            reader = PromptSumsReader(self.job.db, name, self.job.run_id, shape)
            found = bootstrap_intervals(reader, shape, ranks, self.options.bootstrap, self.options.seed)
        self.job.store(write_intervals, found)

    def _keep(self, kept: NeuronSet) -> Layout:
        """Collect the kept neurons' activations of the batches that are not collected."""
        lengths = batches.text_lengths(self.job.db, self.job.run_id)
        plan = keep_plan(lengths, self.positions, self.engine.info.end_ids, len(kept))
        layout = Layout.of(kept, sum(batch.n_tokens for batch in plan))
        done = self._collected()
        watch = self.job.watch("keep", sum(row.n_prompts for row in done), sum(len(b) for b in plan), "texts")
        texts: dict[int, tuple[Text, ...]] = {}
        collected = (
            Done([(plan[item.batch], item)], len(plan[item.batch]), plan[item.batch].n_tokens)
            for item in self.engine.collect(self._collect_tasks(plan[len(done) :], texts), layout)
        )
        self.job.work_through(watch, collected, lambda items: self._commit_collected(items, texts))
        return layout

    def _collect_tasks(self, plan: Sequence[TextBatch], texts: dict[int, tuple[Text, ...]]) -> Iterator[CollectTask]:
        for batch in plan:
            texts[batch.index] = tuple(self._texts(batch))
            yield CollectTask(batch.index, texts[batch.index])

    def _commit_collected(
        self, items: Sequence[tuple[TextBatch, Collected]], texts: dict[int, tuple[Text, ...]]
    ) -> None:
        """Commit collected batches with their tokens; what was collected goes to the staging folder."""
        rows = []
        for batch, item in items:
            name = f"tokens-{batch.index:06d}.parquet"
            sha256 = self._staging.save(name, item.parquet)
            rows.append(BatchRow("keep", batch.index, len(batch), batch.n_tokens, file=name, sha256=sha256))
        tokens = pl.concat([self._tokens(batch, texts.pop(batch.index)) for batch, _ in items])
        with self.job.db.write() as connection:
            activations.write_tokens(connection, self.job.run_id, tokens)
            for row in rows:
                batches.write_batch(connection, self.job.run_id, row)

    def _store(self, layout: Layout, store: str) -> None:
        """Bring what was collected into the database, or into shards."""
        with self.job.db.reading():
            collected = batches.read_batches(self.job.db, self.job.run_id, "keep")
            done = len(activations.stored_chunks(self.job.db, self.job.run_id))
        files = [self._staging.path(str(row.file)) for row in collected]
        watch = self.job.watch("store", done, len(layout.chunks), "chunks")
        for committed in store_chunks(self.job.db, self.job.run_id, layout, files, store, done):
            watch.advance(committed, 0)
            self.job.stop.here()

    def _collected(self) -> list[BatchRow]:
        """The batches that have been collected; none if a file that they left is no longer what it was."""
        done = batches.read_batches(self.job.db, self.job.run_id, "keep")
        if all(self._staging.sound(str(row.file), str(row.sha256)) for row in done):
            return done
        self.job.store(batches.forget_kept)
        return []

    def _texts(self, batch: TextBatch) -> Iterator[Text]:
        for given in batches.texts_of(self.job.db, self.job.run_id, batch.prompt_ids):
            end_ids = self.engine.info.end_ids
            yield text_to_score(given.prompt_id, given.input_ids, given.completion, self.positions, end_ids)

    def _tokens(self, batch: TextBatch, texts: Sequence[Text]) -> pl.DataFrame:
        """One row per scored token of a batch, in the order of its activations."""
        places = [(text.prompt_id, position, text.token_ids[position]) for text in texts for position in text.scored]
        kinds = {"prompt_id": pl.Int32, "position": pl.Int32, "token_id": pl.Int32}
        frame = pl.DataFrame(places, schema=kinds, orient="row").with_row_index("token_index", offset=batch.first_token)
        names = {token_id: self._token(token_id) for token_id in frame["token_id"].unique()}
        token = pl.col("token_id").replace_strict(names, return_dtype=pl.String).alias("token")
        return frame.with_columns(token).with_columns(pl.col("token_index").cast(pl.Int32))

    def _completions(self, prompts: Sequence[Given], result: ContrastResult) -> list[records.CompletionRow]:
        stops = StopTexts(self.engine.tokenizer, self.options.writing.stop)
        return [
            records.CompletionRow(0, prompt.prompt_id, stops.cut(completion.token_ids), completion)
            for prompt, completion in zip(prompts, result.completions, strict=True)
        ]

    def _token(self, token_id: int) -> str:
        return str(self.engine.tokenizer.decode([token_id], skip_special_tokens=False))

    @property
    def _staging(self) -> Staging:
        return Staging(self.job.db.path, self.job.run_id)
