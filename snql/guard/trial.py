"""The stages of a guard-test run: answer, judge, measure. The first two commit as they go and begin where they left."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from snql.db import guards
from snql.db.connection import Connection
from snql.db.guards import ClassifierRow
from snql.db.tables import insert
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.guard.costs import Answered, cost_rows
from snql.guard.model import Guard
from snql.guard.options import GuardTestOptions
from snql.guard.parts import Linear
from snql.guard.prompts import Judged, sign_of
from snql.guard.reading import Activations, Answering, Rows
from snql.guard.results import by_dataset, measure_rows
from snql.jobs.run import Last
from snql.jobs.work import Job
from snql.judges.base import Judge
from snql.judges.judging import judge_run
from snql.models.loaded import LoadedModel
from snql.neurons.sets import NeuronSet
from snql.prompts.types import Prompt

BEFORE, AFTER = 0, 1
"""variant_id of the guard's own model, and of the other one whose answers it guards."""


@dataclass(frozen=True)
class Trial:
    """A guard on trial in a guard-test run. models: by role, ``before`` first."""

    guard: Guard
    guard_run_id: int
    models: Mapping[str, LoadedModel]
    benign: Collection[str]
    judge: Judge
    writing: WritingOptions
    options: GuardTestOptions

    def work(self, job: Job) -> Last:
        """Do what is not done yet; returns what stores the measures."""
        db, prompts = job.db, job.prompts()
        classifiers = guards.read_classifiers(db, self.guard_run_id, self.guard.neurons.shape)
        weights = guards.read_weights(db, self.guard_run_id)
        job.store(guards.write_classifiers, classifiers)
        linear = {number: Linear(**numbers) for number, numbers in weights.items()}
        self._answer(job, prompts, BEFORE, classifiers, linear)
        if "after" in self.models:
            self._answer(job, prompts, AFTER, classifiers[:1], linear)
        judge_run(job, [self.judge], self.options.seed)
        return self._finish(job, prompts, classifiers)

    def _answer(
        self,
        job: Job,
        prompts: Sequence[Prompt],
        variant: int,
        classifiers: Sequence[ClassifierRow],
        linear: Mapping[int, Linear],
    ) -> None:
        ids = np.concatenate([each.members.ids for each in classifiers])
        neurons = NeuronSet.from_ids(self.guard.neurons.shape, ids)
        columns = {each.classifier_id: np.searchsorted(neurons.ids, each.members.ids) for each in classifiers}

        def keep(batch: Sequence[int], activations: Activations) -> Rows:
            rows: list[dict[str, object]] = []
            for number, chosen in columns.items():
                found = linear[number].probabilities(activations[:, chosen]).tolist()
                key = {"classifier_id": number, "variant_id": variant}
                rows += [
                    key | {"prompt_id": prompts[index].prompt_id, "probability": probability}
                    for index, probability in zip(batch, found, strict=True)
                ]
            return {"guard_probabilities": rows}

        Answering(job, prompts, neurons, self.writing).answer(variant, list(self.models.values())[variant], keep)

    def _finish(self, job: Job, prompts: Sequence[Prompt], classifiers: Sequence[ClassifierRow]) -> Last:
        db, run_id, name = job.db, job.run_id, self.judge.info.name
        threshold = float(self.guard.facts["label_threshold"])
        judged = Judged(name, guards.scores(db, run_id, BEFORE, name), sign_of(self.judge.info), threshold)
        labels = judged.rows(prompts, self.benign)
        if all(row["label"] is None for row in labels):
            raise InputError(f"judge {name} gave no answer a score: judgements.problem says why; use another `judge`")
        probabilities = guards.probabilities(db, run_id)
        measured = measure_rows(prompts, labels, classifiers, probabilities, self.guard.threshold, self.options.seed)
        costs = self._costs(job, prompts, name) if self.options.costs else []

        def last(connection: Connection) -> None:
            guards.write_labels(connection, run_id, labels)
            insert(connection, "guard_measures", measured, run_id=run_id)
            insert(connection, "guard_answers", costs, run_id=run_id)

        return last

    def _costs(self, job: Job, prompts: Sequence[Prompt], judge: str) -> list[dict[str, object]]:
        """Each model's answers without the guard, and with it reading the model before, or the model's own neurons."""
        ids = [prompt.prompt_id for prompt in prompts]
        flags = {role: self._refused(job, ids, variant) for variant, role in enumerate(self.models)}
        found: list[dict[str, object]] = []
        for variant, role in enumerate(self.models):
            scores = guards.scores(job.db, job.run_id, variant, judge)
            texts = guards.texts(job.db, job.run_id, variant)
            readers = {"none": [False] * len(ids), "before": flags["before"], role: flags[role]}
            for reader, refused in readers.items():
                answers = [
                    Answered(scores.get(number), texts[number], flag) for number, flag in zip(ids, refused, strict=True)
                ]
                for dataset, places in by_dataset(prompts).items():
                    key = {"variant_id": variant, "guarded_by": reader, "dataset": dataset, "judge": judge}
                    found += [key | row for row in cost_rows([answers[place] for place in places], self.options.seed)]
        return found

    def _refused(self, job: Job, ids: Sequence[int], variant: int) -> list[bool]:
        """Whether the guard refuses each prompt, from the activations of one model."""
        found = guards.probabilities(job.db, job.run_id, variant)[0]
        return [found[number] >= self.guard.threshold for number in ids]
