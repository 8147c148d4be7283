"""What a job reads: prompt sets without the prompts of other runs. Needs no model library."""

from collections.abc import Iterable
from dataclasses import dataclass

from snql.db.connection import Database
from snql.db.prompts import texts_of_runs
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets, read_prompt_sets


@dataclass(frozen=True)
class PromptInputs:
    """The prompt sets of a job, and the runs whose prompts were left out of them."""

    options: PromptOptions
    sets: PromptSets
    disjoint_from: tuple[str, ...]


def read_inputs(db: Database, options: PromptOptions, seed: int, ranked_by: Iterable[str] = ()) -> PromptInputs:
    """Read a job's prompts, without those of the runs of ``disjoint_from`` and ``ranked_by``.

    Raises InputError for bad files, and if no prompt of a set is left.
    """
    others = tuple(dict.fromkeys((*options.disjoint_from, *ranked_by)))
    excluded = texts_of_runs(db, others)
    return PromptInputs(options, read_prompt_sets(options, seed=seed, excluded=excluded), others)
