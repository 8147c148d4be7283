"""The stages of a locate run: contrast, score, keep, store. Each commits as it goes and begins where it left off."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import polars as pl

from snql.contrast.keep import KeepRule, TextBatch, keep_plan
from snql.contrast.positions import Text, text_to_score
from snql.contrast.sums import ContrastSums
from snql.contrast.tokens import Layout, chunk_rows, read_chunk
from snql.contrast.watch import Watch
from snql.contrast.worker import CollectTask, ContrastResult, ContrastSettings, ContrastTask
from snql.db import activations, batches, records, runs
from snql.db.connection import Database
from snql.db.durable import room_needed
from snql.db.scores import statistics_frame, write_statistics
from snql.db.staging import Staging
from snql.engines.base import Engine
from snql.errors import RunError
from snql.interrupts import held_back
from snql.neurons.evaluate import Evaluator
from snql.neurons.sets import NeuronSet
from snql.progress import Progress, ProgressCallback


@dataclass(frozen=True)
class LocateJob:
    """A run whose row, models, prompts and plan are in the database."""

    db: Database
    run_id: int
    engine: Engine
    settings: ContrastSettings
    skip_last_layers: int
    progress: ProgressCallback
    _prompts: dict[int, list[batches.Given]] = field(default_factory=dict)

    def run(self, keep: KeepRule, store: str) -> None:
        """Do what is not done yet. Ctrl-C ends the run after the batch at work, once it is committed."""
        with room_needed(self.db.path), held_back(self._say_stopping) as stop_if_asked:
            if runs.read_kept(self.db, self.run_id)[0] is None:
                self._score(self._contrast(stop_if_asked), keep, store)
            set_id, chosen = runs.read_kept(self.db, self.run_id)
            kept = records.read_set(self.db, int(set_id or 0), self.engine.info.shape)
            if len(kept):
                self._keep(kept, stop_if_asked)
                self._store(kept, str(chosen), stop_if_asked)
            # Files first: a process that is killed in between leaves a run to resume, not a folder that nobody owns.
            self._staging.remove()
            with self.db.write() as connection:
                runs.finish_run(connection, self.run_id)

    def _contrast(self, stop_if_asked: Callable[[], None]) -> ContrastSums:
        """Write and contrast the batches of the plan that are not done; returns the sums of all."""
        sizes = batches.planned(self.db, self.run_id)
        done = batches.read_batches(self.db, self.run_id, "contrast")
        shape = self.engine.info.shape
        sums = ContrastSums(shape.n_layers, shape.n_neurons)
        if done:
            last = done[-1]
            sums = ContrastSums.restored(self._staging.load_arrays(str(last.file), str(last.sha256)))
        watch = Watch(self.progress, "contrast", sum(row.n_prompts for row in done), sum(sizes), "prompts")
        tasks = (self._contrast_task(batch) for batch in range(len(done), len(sizes)))
        for result in self.engine.contrast(tasks, watch.tick):
            sums.merge(result.sums)
            n_prompts = self._commit_contrast(result, sums)
            watch.advance(n_prompts, result.n_tokens)
            stop_if_asked()
        return sums

    def _contrast_task(self, batch: int) -> ContrastTask:
        self._prompts[batch] = batches.batch_prompts(self.db, self.run_id, batch)
        return ContrastTask(batch, tuple(given.input_ids for given in self._prompts[batch]))

    def _commit_contrast(self, result: ContrastResult, sums: ContrastSums) -> int:
        given = self._prompts.pop(result.batch)
        name = f"sums-{result.batch:06d}.safetensors"
        sha256 = self._staging.save_arrays(name, sums.state())
        rows = [
            records.CompletionRow(0, prompt.prompt_id, self._text(completion.token_ids), completion)
            for prompt, completion in zip(given, result.completions, strict=False)  # none where no model writes
        ]
        row = batches.BatchRow("contrast", result.batch, len(given), result.n_tokens, name, sha256)
        with self.db.write() as connection:
            if rows:
                records.write_completions(connection, self.run_id, rows)
            batches.write_batch(connection, self.run_id, row)
        self._staging.keep_only([name])
        return len(given)

    def _score(self, sums: ContrastSums, rule: KeepRule, store: str) -> None:
        """Rank every neuron, and decide whose activations are kept and where."""
        shape = self.engine.info.shape
        found = sums.statistics()
        if not found.count.any():
            raise RunError(f"no tokens at {self.settings.positions} positions: every completion is empty")
        columns = {
            "mean_before": found.mean_before,
            "mean_after": found.mean_after,
            "std_before": found.std_before,
            "std_after": found.std_after,
            "mean_difference": found.mean_differences,
        }
        n_ranked_layers = shape.n_layers - self.skip_last_layers
        statistics = statistics_frame(shape, found.change_scores, columns, found.count, n_ranked_layers)
        kept = rule.members(Evaluator(self.db, shape), statistics, shape)
        n_tokens = sum(row.n_tokens for row in batches.read_batches(self.db, self.run_id, "contrast"))
        with self.db.write() as connection:
            write_statistics(connection, self.run_id, statistics)
            chosen = activations.store_of(store, n_tokens * len(kept))
            runs.set_kept(connection, self.run_id, records.save_set(connection, kept), chosen)

    def _keep(self, kept: NeuronSet, stop_if_asked: Callable[[], None]) -> None:
        """Collect the kept neurons' activations of the batches that are not collected."""
        plan = self._keep_plan(len(kept))
        done = self._collected()
        watch = Watch(self.progress, "keep", sum(row.n_prompts for row in done), sum(len(b) for b in plan), "texts")
        waiting = {batch.index: batch for batch in plan[len(done) :]}
        tasks = (self._collect_task(batch) for batch in waiting.values())
        for item in self.engine.collect(tasks, self._layout(kept, plan)):
            batch = waiting[item.batch]
            name = f"tokens-{item.batch:06d}.parquet"
            sha256 = self._staging.save(name, item.parquet)
            row = batches.BatchRow("keep", item.batch, len(batch), batch.n_tokens, name, sha256)
            tokens = self._tokens(batch)
            with self.db.write() as connection:
                activations.write_tokens(connection, self.run_id, tokens)
                batches.write_batch(connection, self.run_id, row)
            watch.advance(len(batch), batch.n_tokens)
            stop_if_asked()

    def _store(self, kept: NeuronSet, store: str, stop_if_asked: Callable[[], None]) -> None:
        """Bring what was collected into the database, or into shards, chunk by chunk."""
        collected = batches.read_batches(self.db, self.run_id, "keep")
        files = [self._staging.path(str(row.file)) for row in collected]
        layout = self._layout(kept, self._keep_plan(len(kept)))
        done = len(activations.stored_chunks(self.db, self.run_id))
        watch = Watch(self.progress, "store", done, len(layout.chunks), "chunks")
        for chunk in layout.chunks[done:]:
            rows = chunk_rows(layout, chunk, *read_chunk(files, chunk))
            file = None
            if store == "parquet":
                file, rows = activations.write_shard(self.db.path, self.run_id, chunk.index, rows)
            with self.db.write() as connection:
                activations.commit_chunk(connection, self.run_id, chunk.index, chunk.layer, rows, file)
            watch.advance(1, 0)
            stop_if_asked()

    def _keep_plan(self, n_kept: int) -> list[TextBatch]:
        lengths = batches.text_lengths(self.db, self.run_id)
        return keep_plan(lengths, self.settings.positions, self.engine.info.end_ids, n_kept)

    def _layout(self, kept: NeuronSet, plan: list[TextBatch]) -> Layout:
        return Layout.of(kept, sum(batch.n_tokens for batch in plan))

    def _collected(self) -> list[batches.BatchRow]:
        """The batches that have been collected; none if a file that they left is no longer what it was."""
        done = batches.read_batches(self.db, self.run_id, "keep")
        if all(self._staging.sound(str(row.file), str(row.sha256)) for row in done):
            return done
        with self.db.write() as connection:
            batches.forget_kept(connection, self.run_id)
        return []

    def _texts(self, batch: TextBatch) -> Iterator[Text]:
        for given in batches.texts_of(self.db, self.run_id, batch.prompt_ids):
            yield text_to_score(
                given.prompt_id,
                given.input_ids,
                given.completion,
                self.settings.positions,
                self.engine.info.end_ids,
            )

    def _collect_task(self, batch: TextBatch) -> CollectTask:
        return CollectTask(batch.index, tuple(self._texts(batch)))

    def _tokens(self, batch: TextBatch) -> pl.DataFrame:
        """One row per scored token of a batch, in the order of its activations."""
        places = [
            (text.prompt_id, position, text.token_ids[position])
            for text in self._texts(batch)
            for position in text.scored
        ]
        kinds = {"prompt_id": pl.Int32, "position": pl.Int32, "token_id": pl.Int32}
        frame = pl.DataFrame(places, schema=kinds, orient="row").with_row_index("token_index", offset=batch.first_token)
        names = {token_id: self._text((token_id,), special=True) for token_id in frame["token_id"].unique()}
        token = pl.col("token_id").replace_strict(names, return_dtype=pl.String).alias("token")
        return frame.with_columns(token).with_columns(pl.col("token_index").cast(pl.Int32))

    def _text(self, token_ids: tuple[int, ...], *, special: bool = False) -> str:
        return str(self.engine.tokenizer.decode(list(token_ids), skip_special_tokens=not special))

    @property
    def _staging(self) -> Staging:
        return Staging(self.db.path, self.run_id)

    def _say_stopping(self) -> None:
        message = "stopping after this batch, which will be kept; Ctrl-C again stops at once and loses it"
        self.progress(Progress("", 0, 0, "", message=message))
