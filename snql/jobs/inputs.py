"""What a job reads: prompt sets without the prompts of other runs. Needs no model library."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import date

from snql.db import runs
from snql.db.connection import Database
from snql.db.prompts import texts_of_runs
from snql.progress import ProgressCallback, silent
from snql.prompts.dates import noted_day
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets, read_prompt_sets


@dataclass(frozen=True)
class PromptInputs:
    """The prompt sets of a job, the runs whose prompts were left out of them, and what templates take for today."""

    options: PromptOptions
    sets: PromptSets
    disjoint_from: tuple[str, ...]
    day: date = field(default_factory=date.today)


def day_of(db: Database, new: runs.NewRun, *, resume: bool) -> date:
    """What a run's templates take for today: of a resumed run, the day on which they were first applied."""
    begun = runs.find_run(db, new.kind, new.name) if resume else None
    return (noted_day(runs.read_notes(db, begun.run_id)) if begun else None) or date.today()


def read_inputs(
    db: Database,
    options: PromptOptions,
    seed: int,
    day: date | None = None,
    ranked_by: Iterable[str] = (),
    progress: ProgressCallback = silent,
) -> PromptInputs:
    """Read a job's prompts, without those of the runs of ``disjoint_from`` and ``ranked_by``. day: None: today.

    Raises InputError for bad files, and if no prompt of a set is left.
    """
    others = tuple(dict.fromkeys((*options.disjoint_from, *ranked_by)))
    excluded = texts_of_runs(db, others)
    sets = read_prompt_sets(options, seed=seed, excluded=excluded, progress=progress)
    return PromptInputs(options, sets, others, day or date.today())
