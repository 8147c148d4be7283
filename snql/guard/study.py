"""The stages of a guard run: answer, judge, fit. The first two commit as they go and begin where they left off."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from snql.db import guards, runs
from snql.db.connection import Database
from snql.db.durable import room_needed
from snql.db.guards import ClassifierRow
from snql.db.tables import insert
from snql.guard.earlier import Earlier
from snql.guard.fitting import FOLDS, GRID, Fit, Labels, check_labels, fit
from snql.guard.model import Guard
from snql.guard.parts import Template
from snql.guard.plan import Plan
from snql.guard.prompts import Judged, labels_of, sign_of
from snql.guard.reading import Activations, Answering, Rows
from snql.guard.results import measure_rows
from snql.interrupts import Stop, held_back
from snql.judges.base import Judge
from snql.judges.judging import judge_run
from snql.models.loaded import LoadedModel
from snql.progress import Progress, ProgressCallback
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class Study:
    """A guard run whose row, model and prompts are in the database. max_new_tokens: 0 if answers are another run's."""

    db: Database
    run_id: int
    model: LoadedModel
    plan: Plan
    prompts: Sequence[Prompt]
    batches: Sequence[Sequence[int]]
    benign: Collection[str]
    template: Template
    max_new_tokens: int
    threshold: float
    refuse_from: float
    plain: bool
    seed: int
    progress: ProgressCallback

    def run(self, judge: Judge | None, earlier: Earlier | None) -> None:
        """Do what is not done yet. Ctrl-C ends the run once what is finished has been committed.

        Activations of the prompts are in memory until the fits are done: prompts x neurons that any classifier reads.
        """
        with room_needed(self.db.path), held_back(self._say_stopping) as stop:
            activations = self._read(stop)
            if earlier is not None:
                name, judged = earlier.judge, Judged(earlier.scores, earlier.higher_is, self.threshold)
            else:
                assert judge is not None
                judge_run(self.db, self.run_id, [judge], seed=self.seed, progress=self.progress, stop=stop)
                name = judge.info.name
                judged = Judged(guards.scores(self.db, self.run_id, 0, name), sign_of(judge.info), self.threshold)
            self._finish(activations, name, judged, stop)

    def _read(self, stop: Stop) -> Activations:
        """Activations of all neurons that are needed: Float32["prompts neurons"]."""
        neurons = self.plan.neurons
        found = np.empty((len(self.prompts), len(neurons)), dtype=np.float32)

        def keep(batch: Sequence[int], activations: Activations) -> Rows:
            found[list(batch)] = activations
            return {}

        answering = Answering(
            self.db, self.run_id, self.prompts, self.batches, neurons, self.max_new_tokens, self.progress, stop
        )
        answering.answer(0, self.model, keep, reread=True)
        return found

    def _finish(self, activations: Activations, judge: str, judged: Judged, stop: Stop) -> None:
        label_rows = judged.rows(self.prompts, self.benign)
        places, labels = labels_of(label_rows)
        datasets = list(dict.fromkeys(prompt.dataset for prompt in self.prompts))
        folds = check_labels(labels, ", ".join(datasets), plain=self.plain)
        with threadpool_limits(1):  # many small products, in which threads would only wait for one another
            fits = self._fits(activations[places], labels, folds, stop)
        classifiers = [
            ClassifierRow(
                planned.classifier_id, planned.neurons, planned.kind, planned.control_seed, planned.members,
                fitted.c, fitted.n_folds, fitted.log_loss, fitted.converged,
            )
            for planned, fitted in zip(self.plan.classifiers, fits, strict=True)
        ]  # fmt: skip
        held_out = {
            number: {self.prompts[place].prompt_id: float(p) for place, p in zip(places, fitted.held_out, strict=True)}
            for number, fitted in enumerate(fits) if fitted.held_out is not None
        }  # fmt: skip
        measured = (
            measure_rows(self.prompts, label_rows, classifiers, held_out, self.refuse_from, self.seed)
            if held_out
            else []
        )
        about = self._guard(fits[0], labels, judge, judged, datasets).words()
        with self.db.write() as connection:
            guards.write_guard(connection, self.run_id, self.refuse_from, about)
            guards.write_classifiers(connection, self.run_id, classifiers)
            guards.write_labels(connection, self.run_id, label_rows)
            insert(connection, "guard_weights", [_flat(n, each) for n, each in enumerate(fits)], run_id=self.run_id)
            insert(connection, "guard_probabilities", [
                {"classifier_id": number, "variant_id": 0, "prompt_id": prompt, "probability": p}
                for number, found in held_out.items() for prompt, p in found.items()
            ], run_id=self.run_id)  # fmt: skip
            insert(connection, "guard_measures", measured, run_id=self.run_id)
            runs.finish_run(connection, self.run_id)

    def _fits(self, rows: Activations, labels: Labels, folds: int, stop: Stop) -> list[Fit]:
        ids, found = self.plan.neurons.ids, []
        total = len(self.plan.classifiers)
        for planned in self.plan.classifiers:
            columns = np.searchsorted(ids, planned.members.ids)
            found.append(fit(rows[:, columns], labels, folds, self.seed, plain=self.plain))
            self.progress(Progress("guard fit", len(found), total, "classifiers"))
            stop.here()
        return found

    def _guard(self, fitted: Fit, labels: Labels, judge: str, judged: Judged, datasets: list[str]) -> Guard:
        """The guard with the facts of its training."""
        facts = {
            "neurons": self.plan.guard.neurons,
            "datasets": datasets,
            "benign": sorted(self.benign),
            "n_prompts": len(labels),
            "n_harmful": int(labels.sum()),
            "n_unjudged": len(self.prompts) - len(labels),
            "judge": judge,
            "higher_is": judged.higher_is,
            "label_threshold": self.threshold,
            "plain": self.plain,
            "c": fitted.c,
            "grid": None if self.plain else list(GRID),
            "n_folds": fitted.n_folds,
            "most_folds": FOLDS,
            "log_loss": fitted.log_loss,
            "converged": fitted.converged,
            "seed": self.seed,
        }
        return Guard(
            neurons=self.plan.guard.members,
            linear=fitted.linear,
            model=self.model.spec.text,
            model_id=self.model.model_id,
            template=self.template,
            threshold=self.refuse_from,
            facts=facts,
        )

    def _say_stopping(self) -> None:
        message = "stopping once what is finished has been kept; Ctrl-C again stops at once"
        self.progress(Progress("", 0, 0, "", message=message))


def _flat(number: int, fitted: Fit) -> dict[str, Any]:
    linear = fitted.linear
    vectors = {name: getattr(linear, name).tolist() for name in guards.VECTORS}
    return {"classifier_id": number, "intercept": linear.intercept, **vectors}
