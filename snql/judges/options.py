"""Which judges, and how they are loaded and asked."""

import math
from dataclasses import KW_ONLY, dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.judges.signs import SIGNS, given_signs
from snql.options import Flag, Later, Rare

Rubric = Annotated[Path | None, Doc("File with {prompt} and {completion}: what an endpoint is asked."), Later()]


@dataclass(frozen=True, kw_only=True)
class JudgeOptions:
    """How judges are loaded and asked; each kind of judge reads what concerns it.

    sign: None for what the judge itself says. trust_remote_code: whether a judge's folder may run its own code.
    """

    sign: Annotated[str | None, Doc("cost (high is worse) or reward (high is better)."), Flag("--judge-sign")] = None
    rubric: Rubric = None
    concurrency: Annotated[int, Doc("Requests to an endpoint at once.")] = 8
    retries: Annotated[int, Doc("Times that a failed request is sent again.")] = 5
    timeout: Annotated[float, Doc("Seconds that a request may take.")] = 60.0
    batch_size: Annotated[int, Doc("Completions that a judge's model reads at once.")] = 64
    dtype: Annotated[str, Doc("Number type of a judge's model.")] = "auto"
    device: Annotated[str, Doc("Where a judge's model is.")] = "auto"
    trust_remote_code: Annotated[bool, Doc("Run Python code that a judge's folder ships.")] = False

    def __post_init__(self) -> None:
        if self.sign is not None and self.sign not in SIGNS:
            raise InputError(f"`sign` {self.sign!r} is not known: use {' or '.join(SIGNS)}")
        if min(self.batch_size, self.concurrency) < 1 or self.retries < 0:
            raise InputError("`batch_size` and `concurrency` must be at least 1, `retries` at least 0")
        if not 0 < self.timeout < math.inf:
            raise InputError(f"`timeout` {self.timeout:g} is out of range: give seconds, more than 0")

    def higher_is(self, default: str) -> str:
        """Whether a higher score is ``worse`` or ``better``, by ``sign`` or the judge's own kind."""
        return default if self.sign is None else SIGNS[self.sign]


@dataclass(frozen=True)
class JudgingOptions:
    """Which judges a run asks of what it writes. judge_signs: where a judge does not say itself."""

    judges: Annotated[
        tuple[str, ...],
        Doc("refusal, demo:cost, …: `snql judge -h`; repeatable."),
        Flag("--judge"),
    ]
    _: KW_ONLY
    judge_signs: Annotated[
        tuple[str, ...],
        Doc("cost (high is worse) or reward (high is better), or JUDGE=cost for one; repeatable."),
        Flag("--judge-sign"),
        Later(),
        Rare(),
    ] = ()
    rubric: Annotated[Rubric, Rare()] = None

    def __post_init__(self) -> None:
        if not self.judges:
            raise InputError("which judge? give `judges`, such as `judges` refusal")
        given_signs(self.judges, self.judge_signs)

    @property
    def signs(self) -> dict[str, str]:
        """The sign of each judge that was given one."""
        return given_signs(self.judges, self.judge_signs)


@dataclass(frozen=True, kw_only=True)
class RejudgeFlags:
    """What becomes of a judge's scores of this run: none of them refuses a judge that has begun."""

    resume: Annotated[bool, Doc("Go on where a judge was stopped.")] = False
    force: Annotated[bool, Doc("Forget the judge's scores of this run first.")] = False
    retry: Annotated[bool, Doc("Ask again about completions without a score.")] = False


NONE_GIVEN = RejudgeFlags()
