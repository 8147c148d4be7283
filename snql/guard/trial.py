"""The stages of a guard-test run: answer, judge, measure. The first two commit as they go and begin where they left."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from snql.db import guards
from snql.db.connection import Connection
from snql.db.guards import ClassifierRow
from snql.db.tables import insert
from snql.errors import InputError
from snql.guard.costs import Answered, cost_rows
from snql.guard.model import Guard
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

    job: Job
    guard: Guard
    guard_run_id: int
    models: Mapping[str, LoadedModel]
    benign: Collection[str]
    max_new_tokens: int
    costs: bool
    seed: int

    @cached_property
    def prompts(self) -> list[Prompt]:
        """The run's prompts, in order."""
        return self.job.prompts()

    def run(self, judge: Judge) -> Last:
        """Do what is not done yet; returns what stores the measures."""
        db = self.job.db
        classifiers = guards.read_classifiers(db, self.guard_run_id, self.guard.neurons.shape)
        weights = guards.read_weights(db, self.guard_run_id)
        self.job.store(guards.write_classifiers, classifiers)
        linear = {number: Linear(**numbers) for number, numbers in weights.items()}
        self._answer(BEFORE, "before", classifiers, linear)
        if "after" in self.models:
            self._answer(AFTER, "after", classifiers[:1], linear)
        judge_run(self.job, [judge], self.seed)
        return self._finish(judge, classifiers)

    def _answer(
        self, variant: int, role: str, classifiers: Sequence[ClassifierRow], linear: Mapping[int, Linear]
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
                    key | {"prompt_id": self.prompts[index].prompt_id, "probability": probability}
                    for index, probability in zip(batch, found, strict=True)
                ]
            return {"guard_probabilities": rows}

        Answering(self.job, self.prompts, neurons, self.max_new_tokens).answer(variant, self.models[role], keep)

    def _finish(self, judge: Judge, classifiers: Sequence[ClassifierRow]) -> Last:
        db, run_id, name = self.job.db, self.job.run_id, judge.info.name
        threshold = float(self.guard.facts["label_threshold"])
        judged = Judged(name, guards.scores(db, run_id, BEFORE, name), sign_of(judge.info), threshold)
        labels = judged.rows(self.prompts, self.benign)
        if all(row["label"] is None for row in labels):
            raise InputError(f"judge {name} gave no answer a score: judgements.problem says why; use another `judge`")
        probabilities = guards.probabilities(db, run_id)
        measured = measure_rows(self.prompts, labels, classifiers, probabilities, self.guard.threshold, self.seed)
        costs = self._costs(name) if self.costs else []

        def last(connection: Connection) -> None:
            guards.write_labels(connection, run_id, labels)
            insert(connection, "guard_measures", measured, run_id=run_id)
            insert(connection, "guard_answers", costs, run_id=run_id)

        return last

    def _costs(self, judge: str) -> list[dict[str, object]]:
        """Each model's answers without the guard, and with it reading the model before, or the model's own neurons."""
        ids = [prompt.prompt_id for prompt in self.prompts]
        flags = {role: self._refused(variant) for variant, role in enumerate(self.models)}
        found: list[dict[str, object]] = []
        for variant, role in enumerate(self.models):
            scores = guards.scores(self.job.db, self.job.run_id, variant, judge)
            texts = guards.texts(self.job.db, self.job.run_id, variant)
            readers = {"none": [False] * len(ids), "before": flags["before"], role: flags[role]}
            for reader, refused in readers.items():
                answers = [
                    Answered(scores.get(number), texts[number], flag) for number, flag in zip(ids, refused, strict=True)
                ]
                for dataset, places in by_dataset(self.prompts).items():
                    key = {"variant_id": variant, "guarded_by": reader, "dataset": dataset, "judge": judge}
                    found += [key | row for row in cost_rows([answers[place] for place in places], self.seed)]
        return found

    def _refused(self, variant: int) -> list[bool]:
        """Whether the guard refuses each prompt, from the activations of one model."""
        found = guards.probabilities(self.job.db, self.job.run_id, variant)[0]
        return [found[prompt.prompt_id] >= self.guard.threshold for prompt in self.prompts]
