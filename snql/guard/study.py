"""The stages of a guard run: answer, judge, fit. The first two commit as they go and begin where they left off."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from snql.db import guards
from snql.db.connection import Connection
from snql.db.guards import ClassifierRow
from snql.db.records import Variant
from snql.db.tables import insert
from snql.errors import InputError, RunError
from snql.generation.options import WritingOptions
from snql.guard.fitting import FOLDS, GRID, Fit, Labels, check_labels, fit
from snql.guard.model import Guard
from snql.guard.options import GuardOptions
from snql.guard.parts import Template
from snql.guard.plan import Plan
from snql.guard.prompts import Judged, labels_of, plan_batches
from snql.guard.reading import Activations, Answering, Rows
from snql.guard.results import measure_rows
from snql.jobs.begin import Beginning
from snql.jobs.inputs import PromptInputs
from snql.jobs.run import Last
from snql.jobs.work import Job
from snql.models.loaded import LoadedModel
from snql.progress import Progress, say
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class Answers:
    """What a guard learns from: prompts, and what a judge says of the answers to them.

    read: where the prompts were read. writing: None if the answers are another run's. judged: asks a judge, or
    knows what one has said.
    """

    prompts: Sequence[Prompt]
    read: PromptInputs | None
    benign: frozenset[str]
    template: Template
    writing: WritingOptions | None
    judged: Callable[[Job], Judged]

    def beginning(self, model: LoadedModel, batch_size: int | str) -> Beginning:
        """What a run of one model begins with; its batches have room for the answers, if any are written."""
        room = 0 if self.writing is None else self.writing.max_new_tokens
        batches = plan_batches(model, self.prompts, batch_size, room)
        variants = [Variant(0, "before", "before")]
        return Beginning.of({"before": model}, self.prompts, variants, self.read, batches)


@dataclass(frozen=True)
class Study:
    """A guard and its controls to be fitted: what the job of a guard run does."""

    model: LoadedModel
    plan: Plan
    answers: Answers
    options: GuardOptions

    def work(self, job: Job) -> Last:
        """Do what is not done yet; returns what stores the guard.

        Activations of the prompts are in memory until the fits are done: prompts x neurons that any classifier reads.
        """
        for line in self.plan.left_out:
            say(job.progress, line)
        prompts = job.prompts()
        activations = self._read(job, prompts)
        return self._finish(job, prompts, activations, self.answers.judged(job))

    def _read(self, job: Job, prompts: Sequence[Prompt]) -> Activations:
        """Activations of all neurons that are needed: Float32["prompts neurons"]."""
        neurons = self.plan.neurons
        found = np.empty((len(prompts), len(neurons)), dtype=np.float32)

        def keep(batch: Sequence[int], activations: Activations) -> Rows:
            found[list(batch)] = activations
            return {}

        Answering(job, prompts, neurons, self.answers.writing).answer(0, self.model, keep, reread=True)
        return found

    def _finish(self, job: Job, prompts: Sequence[Prompt], activations: Activations, judged: Judged) -> Last:
        label_rows = judged.rows(prompts, self.answers.benign)
        places, labels = labels_of(label_rows)
        datasets = list(dict.fromkeys(prompt.dataset for prompt in prompts))
        try:
            folds = check_labels(labels, ", ".join(datasets), plain=self.options.plain)
        except InputError as error:  # not known before the model had answered
            raise RunError(str(error)) from error
        with threadpool_limits(1):  # many small products, in which threads would only wait for one another
            fits = self._fits(job, activations[places], labels, folds)
        classifiers = [
            ClassifierRow(
                **vars(planned),
                c=fitted.c,
                n_folds=fitted.n_folds,
                log_loss=fitted.log_loss,
                converged=fitted.converged,
            )
            for planned, fitted in zip(self.plan.classifiers, fits, strict=True)
        ]
        held_out = {
            number: {prompts[place].prompt_id: float(p) for place, p in zip(places, fitted.held_out, strict=True)}
            for number, fitted in enumerate(fits)
            if fitted.held_out is not None
        }
        measured = (
            measure_rows(prompts, label_rows, classifiers, held_out, self.options.refuse_from, self.options.seed)
            if held_out
            else []
        )
        about = self._guard(fits[0], labels, judged, datasets).words()

        def last(connection: Connection) -> None:
            run_id = job.run_id
            guards.write_guard(connection, run_id, self.options.refuse_from, about)
            guards.write_classifiers(connection, run_id, classifiers)
            guards.write_labels(connection, run_id, label_rows)
            insert(connection, "guard_weights", [_flat(n, each) for n, each in enumerate(fits)], run_id=run_id)
            insert(connection, "guard_probabilities", _probabilities(held_out), run_id=run_id)
            insert(connection, "guard_measures", measured, run_id=run_id)

        return last

    def _fits(self, job: Job, rows: Activations, labels: Labels, folds: int) -> list[Fit]:
        ids, found = self.plan.neurons.ids, []
        total = len(self.plan.classifiers)
        for planned in self.plan.classifiers:
            columns = np.searchsorted(ids, planned.members.ids)
            found.append(fit(rows[:, columns], labels, folds, self.options.seed, plain=self.options.plain))
            job.progress(Progress("guard fit", len(found), total, "classifiers"))
            job.stop.here()
        return found

    def _guard(self, fitted: Fit, labels: Labels, judged: Judged, datasets: list[str]) -> Guard:
        """The guard with the facts of its training."""
        answers, guard, model = self.answers, self.plan.guard, self.model
        facts = {
            "neurons": guard.neurons,
            "datasets": datasets,
            "benign": sorted(answers.benign),
            "n_prompts": len(labels),
            "n_harmful": int(labels.sum()),
            "n_unjudged": len(answers.prompts) - len(labels),
            "judge": judged.judge,
            "higher_is": judged.higher_is,
            "label_threshold": judged.threshold,
            "plain": self.options.plain,
            "c": fitted.c,
            "grid": None if self.options.plain else list(GRID),
            "n_folds": fitted.n_folds,
            "most_folds": FOLDS,
            "log_loss": fitted.log_loss,
            "converged": fitted.converged,
            "seed": self.options.seed,
        }
        return Guard(
            neurons=guard.members,
            linear=fitted.linear,
            model=model.spec.text,
            model_id=model.model_id,
            template=answers.template,
            threshold=self.options.refuse_from,
            facts=facts,
        )


def _probabilities(held_out: Mapping[int, Mapping[int, float]]) -> list[dict[str, Any]]:
    return [
        {"classifier_id": number, "variant_id": 0, "prompt_id": prompt, "probability": p}
        for number, found in held_out.items()
        for prompt, p in found.items()
    ]


def _flat(number: int, fitted: Fit) -> dict[str, Any]:
    linear = fitted.linear
    vectors = {name: getattr(linear, name).tolist() for name in guards.VECTORS}
    return {"classifier_id": number, "intercept": linear.intercept, **vectors}
