"""Where stored donor completions come from: a finished patch run, or a locate run whose writer is the donor.

In a patch run without a donor the unpatched model is in its place: what is measured is how far a set moves it.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from snql.db import records
from snql.db.connection import Database
from snql.db.records import Variant
from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape
from snql.patching.variants import DONOR
from snql.prompts.types import Prompt


@dataclass(frozen=True)
class WrittenBy:
    """A run with completions of the model that plays ``role`` in it, its ``variant``.

    config: the run's own; models: ids by role.
    """

    run: str
    run_id: int
    kind: str
    config: dict[str, Any]
    config_sha256: str
    role: str
    variant: int
    models: dict[str, str]
    n_samples: int

    @property
    def writer(self) -> str:
        """The model_id of who wrote."""
        return self.models[self.role]


def find_completions(db: Database, run: str) -> WrittenBy:
    """The run's donor completions; of a patch and a locate run of one name, the patch run is meant.

    Raises InputError if there is no such run, it is not done, or has no completions of such a model.
    """
    query = """
        SELECT run_id, kind, status, config, config_sha256 FROM runs
        WHERE name = ? AND kind IN ('patch', 'locate') ORDER BY kind = 'patch' DESC LIMIT 1
    """
    found = db.rows(query, [run]) if db.path.exists() else []
    if not found:
        raise InputError(
            f"no patch or locate run {run!r} in {db.path}: `snql runs` lists those it has; name one with `completions`"
        )
    run_id, kind, status, config, sha256 = found[0]
    if status != "done":
        raise InputError(f"{kind} run {run!r} is {status}: finish it first (`resume`), or name another `completions`")
    roles = dict(db.rows("SELECT role, variant_id FROM variants WHERE run_id = ? AND variant_id < 2", [run_id]))
    role = next((role for role in ("donor", "recipient", "before", "after", "writer") if role in roles), None)
    if role is None:
        raise InputError(f"{kind} run {run!r} has no completions: name a patch run, or a locate run that writes")
    query = "SELECT max(sample) + 1 FROM completions WHERE run_id = ?"
    ((n_samples,),) = db.rows(query, [run_id])
    models = records.read_models(db, run_id)
    return WrittenBy(run, run_id, kind, json.loads(config), sha256, role, roles[role], models, int(n_samples))


def patched_variants(db: Database, run_id: int, shape: Shape) -> list[Variant]:
    """The variants of a patch run as it has them, with their members; one without a donor has one here."""
    rows = db.rows(
        """
        SELECT variant_id, name, role, neurons, set_id, control_of, control_seed, control_kind, route
        FROM variants WHERE run_id = ? ORDER BY variant_id
        """,
        [run_id],
    )

    def members(set_id: int | None) -> NeuronSet | None:
        return None if set_id is None else records.read_set(db, set_id, shape)

    found = [
        Variant(number, name, role, neurons, members(set_id), of, seed, kind, route)
        for number, name, role, neurons, set_id, of, seed, kind, route in rows
    ]
    if all(variant.variant_id != DONOR for variant in found):
        found.insert(DONOR, Variant(DONOR, "donor", "donor"))
    return found


@dataclass(frozen=True)
class Completed:
    """A prompt with one completion, both as token ids."""

    prompt: Prompt
    sample: int
    token_ids: tuple[int, ...]


def completed_prompts(db: Database, source: WrittenBy, prompts: Sequence[Prompt]) -> list[Completed]:
    """Every completion that the donor wrote, token ids as stored; an empty one has nothing to compare."""
    ids = [prompt.prompt_id for prompt in prompts]
    written = records.read_tokens(db, source.run_id, source.variant, ids)
    by_id = {prompt.prompt_id: prompt for prompt in prompts}
    found = ((by_id[prompt_id], sample, tokens) for (prompt_id, sample), tokens in sorted(written.items()))
    return [Completed(prompt, sample, tokens) for prompt, sample, tokens in found if tokens]
