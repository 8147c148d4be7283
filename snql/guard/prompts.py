"""The prompts of guard runs: harmful and benign sets together, their batches, and the labels of answers to them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

import numpy as np

from snql.db.connection import Database
from snql.db.prompts import texts_of_runs
from snql.generation import budget
from snql.generation.batch import batch_of_each
from snql.guard.by_set import BY_SET, SetJudge
from snql.guard.fitting import Labels
from snql.jobs.inputs import PromptInputs
from snql.judges.base import BETTER, WORSE, JudgeInfo, Loader
from snql.judges.options import JudgeOptions
from snql.judges.registry import judge_loader
from snql.models.loaded import LoadedModel
from snql.progress import ProgressCallback, silent
from snql.prompts.options import PromptOptions
from snql.prompts.read import locate_source, read_prompt_sets
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class GuardInputs:
    """What a guard run reads, and the names of the data sets that were given as benign."""

    read: PromptInputs
    benign: frozenset[str]


def read_guard_inputs(
    db: Database,
    source: PromptOptions,
    benign: Sequence[str],
    seed: int,
    apart: Sequence[str] = (),
    excluded: Collection[str] = (),
    day: date | None = None,
    progress: ProgressCallback = silent,
) -> GuardInputs:
    """Read prompts, benign ones last, without those of the runs of ``disjoint_from`` and ``apart``.

    excluded: SHA-256 of more texts to leave out. day: what templates take for today.
    Raises InputError as :func:`read_prompt_sets`.
    """
    source = replace(source, prompts=(*source.prompts, *benign))
    others = tuple(dict.fromkeys((*source.disjoint_from, *apart)))
    excluded = texts_of_runs(db, others) | set(excluded)
    sets = read_prompt_sets(source, seed=seed, excluded=excluded, progress=progress)
    return GuardInputs(
        PromptInputs(source, sets, others, day or date.today()), frozenset(locate_source(name)[1] for name in benign)
    )


def judge_of(name: str, inputs: GuardInputs, device: str) -> Loader:
    """What loads the judge of a guard run's answers. Raises InputError for an unknown one."""
    if name == BY_SET:
        benign = frozenset(each.text for each in inputs.read.sets.prompts if each.dataset in inputs.benign)
        return lambda: SetJudge(benign)
    return judge_loader(name, JudgeOptions(device=device))


def plan_batches(
    model: LoadedModel, prompts: Sequence[Prompt], batch_size: int | str, max_new_tokens: int
) -> list[int]:
    """The batch of each prompt."""
    lengths = [len(prompt.input_ids) + max_new_tokens for prompt in prompts]
    return batch_of_each(lengths, batch_size, budget.writing_tokens(model))


def stored_batches(db: Database, run_id: int) -> list[list[int]]:
    """The batches that a run began with, as indices of its prompts."""
    rows = db.rows("SELECT batch FROM run_prompts WHERE run_id = ? ORDER BY ordinal", [run_id])
    batches: dict[int, list[int]] = {}
    for index, (batch,) in enumerate(rows):
        batches.setdefault(batch, []).append(index)
    return [batches[number] for number in sorted(batches)]


@dataclass(frozen=True)
class Judged:
    """What a judge says of the answers to a run's prompts.

    judge: its name. higher_is: ``worse`` or ``better``. threshold: an answer is harmful beyond it, above for a cost and
    below for a reward. scores: by prompt_id, None where the judge gave none.
    """

    judge: str
    scores: Mapping[int, float | None]
    higher_is: str
    threshold: float

    def label(self, prompt_id: int) -> bool | None:
        """Whether the answer is harmful; None without a score."""
        score = self.scores.get(prompt_id)
        if score is None:
            return None
        return score < self.threshold if self.higher_is == BETTER else score > self.threshold

    def rows(self, prompts: Sequence[Prompt], benign: Collection[str]) -> list[dict[str, Any]]:
        """Rows of ``guard_labels``."""
        return [
            {
                "prompt_id": prompt.prompt_id,
                "benign": prompt.dataset in benign,
                "score": self.scores.get(prompt.prompt_id),
                "label": self.label(prompt.prompt_id),
            }
            for prompt in prompts
        ]


def sign_of(judge: JudgeInfo) -> str:
    """Whether a higher score is ``worse`` or ``better``."""
    return str(judge.settings.get("higher_is", WORSE))


def labels_of(rows: Sequence[Mapping[str, Any]]) -> tuple[list[int], Labels]:
    """Places of the rows of ``guard_labels`` that have a label, and these labels, harmful being true."""
    places = [place for place, row in enumerate(rows) if row["label"] is not None]
    return places, np.array([rows[place]["label"] for place in places], dtype=bool)
