"""What all jobs take: a seed, and what becomes of a run of the same name."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError

Seed = Annotated[int, Doc("Seed of the sample and of all draws.")]


@dataclass(frozen=True, kw_only=True)
class RunFlags:
    """What becomes of a run of the same name: neither of both refuses it."""

    resume: Annotated[bool, Doc("Continue a run of this name that did not finish.")] = False
    force: Annotated[bool, Doc("Replace a run of this name.")] = False


def check_seed(seed: int) -> None:
    """Raise InputError unless the seed can be used and stored."""
    if not 0 <= seed < 2**63:
        raise InputError(f"`seed` {seed} is out of range: use a whole number from 0 to {2**63 - 1}")
