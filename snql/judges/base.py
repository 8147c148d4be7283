"""The interface of judges."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from snql.errors import InputError

WORSE, BETTER = "worse", "better"
SIGNS = {"cost": WORSE, "reward": BETTER}
"""What ``--judge-sign`` may be, and what a high score then is."""

Pair = tuple[str, str]
"""A prompt without its template, and a completion without special tokens."""


@dataclass(frozen=True)
class JudgeOptions:
    """How judges are loaded and asked; each kind of judge reads what concerns it.

    sign: cost or reward, None for what the judge itself says. device, dtype: of judges that are models. batch_size:
    completions a judge's model reads at once. rubric: the file that an endpoint's prompt is made of. concurrency:
    requests to an endpoint at once. retries: times that a failed request is sent again. timeout: seconds a request may
    take. trust_remote_code: whether a judge's folder may run its own code.
    """

    sign: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch_size: int = 64
    rubric: Path | None = None
    concurrency: int = 8
    retries: int = 5
    timeout: float = 60.0
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if self.sign is not None and self.sign not in SIGNS:
            raise InputError(f"--judge-sign {self.sign!r} is not known: use {' or '.join(SIGNS)}")
        if min(self.batch_size, self.concurrency) < 1 or self.retries < 0:
            raise InputError("--judge-batch-size and --concurrency must be at least 1, --retries at least 0")
        if not 0 < self.timeout < math.inf:
            raise InputError(f"--timeout {self.timeout:g} is out of range: give seconds, more than 0")

    def higher_is(self, default: str) -> str:
        """Whether a higher score is ``worse`` or ``better``, by ``--judge-sign`` or the judge's own kind."""
        return default if self.sign is None else SIGNS[self.sign]


@dataclass(frozen=True)
class JudgeInfo:
    """A judge as it is stored beside its scores: what it is, and what exactly it was.

    ``version`` changes when scores may: a hash of files, of a rubric, or a number. ``settings`` hold no secrets;
    ``higher_is`` among them says whether a higher score is worse (a cost, the default) or better (a reward).
    """

    name: str
    kind: str
    version: str
    settings: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Verdict:
    """One judge's word on one completion.

    ``score`` is None where the judge was asked and gave none that could be used; ``problem`` then says why in a line.
    ``label`` is the judge's own class, such as ``unsafe``, if it has classes.
    """

    score: float | None
    label: str | None = None
    problem: str | None = None


class Judge(Protocol):
    """Maps completions to floats."""

    @property
    def info(self) -> JudgeInfo:
        """What to store beside the scores."""

    @property
    def at_once(self) -> int:
        """How many completions are judged between two commits."""

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """One verdict for each pair, in order.

        Raises RunError if the judge fails as a whole: an endpoint that is down, a score that is not finite.
        """


Loader = Callable[[], Judge]
"""What loads a judge, found without loading anything."""
