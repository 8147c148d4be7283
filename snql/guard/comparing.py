"""``snql guard compare``: the same classifier on chosen neurons, on others, on all, and on the residual stream."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from snql.db import guards, runs
from snql.db import prompts as prompt_records
from snql.db.connection import Connection, Database
from snql.db.tables import insert
from snql.guard.fitting import Labels
from snql.guard.latency import Added, added, of_neurons, of_stream
from snql.guard.learn import answers_for, earlier_of, facts_of
from snql.guard.nested import Candidate, Nested, Split, family_folds, nested
from snql.guard.options import GuardCompareOptions
from snql.guard.plan import Plan, make_plan
from snql.guard.prompts import labels_of
from snql.guard.reading import Activations, Answering, Rows
from snql.guard.results import compared_sentences, measure_rows
from snql.guard.study import Answers
from snql.jobs.inputs import day_of
from snql.jobs.run import Announce, Last, Loaded, run_job
from snql.jobs.work import Job
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.progress import Progress, ProgressCallback, say, silent
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.rankings.evaluate import Evaluator
from snql.rankings.shapes import check_expression
from snql.writing.html import table

KIND = "guard-compare"
ALL, COMPONENTS, RESIDUAL = "all", "components", "residual"


@dataclass(frozen=True)
class GuardComparison:
    """Rows of ``guard_comparison``, what they say in plain sentences, and what became of the prompt sets."""

    run: str
    run_id: int
    scores: pl.DataFrame
    says: list[str]
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        return table(self.scores, title=f"guards compared: {self.run}")


@dataclass(frozen=True)
class Reader:
    """What one classifier reads. members: as many as numbers it is given; those of a set where it reads neurons."""

    classifier_id: int
    neurons: str
    kind: str
    control_seed: int | None
    members: NeuronSet | range


def compare_guards(
    db: Database,
    name: str,
    options: GuardCompareOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> GuardComparison:
    """Let the model answer, judge, and test each reader on families of prompts that its fit had nothing of.

    Raises InputError before anything is written for bad input, and if labels or families leave nothing to hold out.
    A failure later, or Ctrl-C, leaves the run's row with its reason and the answers so far: ``resume`` goes on there.
    """
    own = options.guard
    earlier = earlier_of(db, own)
    new = runs.NewRun(KIND, name, options.config() | facts_of(earlier), own.seed)

    def load(announce: Announce) -> Loaded:
        check_expression(db, own.neurons)
        answers_of = answers_for(db, own, earlier, day_of(db, new, resume=resume), progress)
        announce()
        model = load_models({"before": own.model}, own.models)["before"]
        plan = make_plan(Evaluator(db, model.shape), own.neurons, (), own.random)
        answers = answers_of(model)
        beginning = answers.beginning(model, own.writing.batch_size)
        return Loaded(beginning, Comparison(model, plan, answers, options).work)

    return run_job(
        db, new, load, lambda run_id: _summary(db, name, run_id), resume=resume, force=force, progress=progress
    )


@dataclass(frozen=True)
class Comparison:
    """What the job of a guard-compare run does."""

    model: LoadedModel
    plan: Plan
    answers: Answers
    options: GuardCompareOptions

    def work(self, job: Job) -> Last:
        """Answer and judge what is not done yet, and compare; returns what stores the comparison.

        Activations of the prompts are in memory until then: prompts x (all neurons + layers x residual stream).
        """
        for line in self.plan.left_out:
            say(job.progress, line)
        prompts = job.prompts()
        activations = self._read(job, prompts)
        judged = self.answers.judged(job)
        rows = judged.rows(prompts, self.answers.benign)
        places, labels = labels_of(rows)
        known = [prompts[place] for place in places]
        families = [self._family(prompt) for prompt in known]
        folds = family_folds(labels, families, self.options.folds, self.options.guard.seed)
        readers = self._readers()
        with threadpool_limits(1):  # many small products, in which threads would only wait for one another
            found = self._tested(job, readers, activations[places], labels, families, folds)
        latencies = self._latencies(job, readers, found, known)
        return self._last(job, prompts, rows, known, readers, found, latencies)

    @property
    def _hidden(self) -> int:
        """Width of the residual stream."""
        return self.model.sites[0].n_outputs

    def _readers(self) -> list[Reader]:
        planned = [Reader(**vars(each)) for each in self.plan.classifiers]
        shape, neurons = self.model.shape, self.plan.guard.neurons
        others: dict[str, NeuronSet | range] = {
            ALL: NeuronSet.all(shape),
            COMPONENTS: range(shape.size),
            RESIDUAL: range(self._hidden),
        }
        made = [Reader(len(planned) + at, neurons, kind, None, each) for at, (kind, each) in enumerate(others.items())]
        return planned + made

    def _read(self, job: Job, prompts: Sequence[Prompt]) -> Activations:
        """All neurons, then the residual streams layer by layer: Float32["prompts numbers"]."""
        neurons = NeuronSet.all(self.model.shape)
        width = len(neurons) + self.model.base.n_layers * self._hidden
        found = np.empty((len(prompts), width), dtype=np.float32)

        def keep(batch: Sequence[int], activations: Activations) -> Rows:
            found[list(batch)] = activations
            return {}

        answering = Answering(job, prompts, neurons, self.answers.writing, residual=True)
        answering.answer(0, self.model, keep, reread=True)
        return found

    def _family(self, prompt: Prompt) -> str:
        """The family of a prompt: one without a category is one by itself."""
        if self.options.families == "dataset":
            return prompt.dataset
        if self.options.families == "category" and prompt.category is not None:
            return prompt.category
        return f"prompt {prompt.prompt_id}"

    def _candidates(self, reader: Reader, rows: Activations) -> list[Candidate]:
        size, hidden = self.model.shape.size, self._hidden
        if reader.kind == RESIDUAL:
            layers = range(self.model.base.n_layers)
            starts = [size + layer * hidden for layer in layers]
            return [
                Candidate(rows[:, start : start + hidden], layer) for layer, start in zip(layers, starts, strict=True)
            ]
        if isinstance(reader.members, range):
            return [Candidate(rows[:, :size], components=True)]
        return [Candidate(rows[:, reader.members.ids])]

    def _tested(
        self,
        job: Job,
        readers: Sequence[Reader],
        rows: Activations,
        labels: Labels,
        families: Sequence[str],
        folds: Sequence[Split],
    ) -> list[Nested]:
        found = []
        for reader in readers:
            found.append(nested(self._candidates(reader, rows), labels, families, folds, self.options.guard.seed))
            job.progress(Progress("guard fit", len(found), len(readers), "classifiers"))
            job.stop.here()
        return found

    def _latencies(
        self, job: Job, readers: Sequence[Reader], found: Sequence[Nested], prompts: Sequence[Prompt]
    ) -> list[Added | None]:
        """Of each reader on the prompt of median length, of random ones the first of a kind alone."""
        ids = sorted((prompt.input_ids for prompt in prompts), key=len)[len(prompts) // 2]
        measured = []
        for reader, tested in zip(readers, found, strict=True):
            job.stop.here()
            layer = int(np.median([fold.layer for fold in tested.folds])) if reader.kind == RESIDUAL else 0
            members = reader.members if isinstance(reader.members, NeuronSet) else NeuronSet.all(self.model.shape)
            reading = of_stream(self.model, layer) if reader.kind == RESIDUAL else of_neurons(self.model, members)
            wanted = reader.control_seed in (None, 1)
            measured.append(added(self.model, ids, reading, self.options.repeats) if wanted else None)
        return measured

    def _last(
        self,
        job: Job,
        prompts: Sequence[Prompt],
        rows: list[dict[str, Any]],
        known: Sequence[Prompt],
        readers: Sequence[Reader],
        found: Sequence[Nested],
        latencies: Sequence[Added | None],
    ) -> Last:
        own = self.options.guard
        held_out = {
            reader.classifier_id: dict(zip([each.prompt_id for each in known], tested.held_out.tolist(), strict=True))
            for reader, tested in zip(readers, found, strict=True)
        }
        measured = measure_rows(prompts, rows, readers, held_out, own.refuse_from, own.seed)
        said = [
            {"classifier_id": number, "variant_id": 0, "prompt_id": prompt, "probability": probability}
            for number, by_prompt in held_out.items()
            for prompt, probability in by_prompt.items()
        ]

        def last(connection: Connection) -> None:
            run_id = job.run_id
            guards.write_labels(connection, run_id, rows)
            guards.write_readers(connection, run_id, readers, latencies)
            folds = [
                {"classifier_id": reader.classifier_id, "fold": number, **vars(fold)}
                for reader, tested in zip(readers, found, strict=True)
                for number, fold in enumerate(tested.folds, start=1)
            ]
            insert(connection, "guard_folds", folds, run_id=run_id)
            insert(connection, "guard_probabilities", said, run_id=run_id)
            insert(connection, "guard_measures", measured, run_id=run_id)

        return last


def _summary(db: Database, name: str, run_id: int) -> GuardComparison:
    query = "SELECT * EXCLUDE (run_id) FROM guard_comparison WHERE run_id = ? ORDER BY place, dataset"
    scores = db.frame(query, [run_id])
    return GuardComparison(name, run_id, scores, compared_sentences(scores), prompt_records.read_sets(db, run_id))
