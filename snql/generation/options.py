"""How completions are written: the options that all such commands share."""

from dataclasses import dataclass
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.options import Aside, Later, Rare

AUTO = "auto"
BatchSize = Annotated[int | str, Doc("Rows a batch; results do not change."), Aside()]
_COLDEST = 0.001
_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class WritingOptions:
    """How long completions are, what keeps them from repeating themselves, and how many are written at once."""

    max_new_tokens: Annotated[int, Doc("Longest completion, in tokens.")] = 128
    repetition_penalty: Annotated[
        float,
        Doc("Make tokens of prompt and completion less likely, as in transformers' generate; 1: none."),
        Later(),
        Rare(),
    ] = 1.0
    no_repeat_ngram: Annotated[
        int, Doc("Write no N tokens in a row that prompt or completion have already; 0: no limit."), Later(), Rare()
    ] = 0
    stop: Annotated[
        tuple[str, ...], Doc("End a completion at this text, which is left out of it; repeatable."), Later(), Rare()
    ] = ()
    batch_size: BatchSize = AUTO

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1 or (not isinstance(self.batch_size, str) and self.batch_size < 1):
            raise InputError("`batch_size` and `max_new_tokens` must be at least 1")
        if not 0 < self.repetition_penalty < float("inf"):
            raise InputError(
                f"`repetition_penalty` {self.repetition_penalty} is out of range: use more than 0, such as 1.2; 1: none"
            )
        if self.no_repeat_ngram < 0:
            raise InputError(f"`no_repeat_ngram` {self.no_repeat_ngram} is out of range: use 0 (no limit) or a length")
        if not all(self.stop):
            raise InputError("`stop` is empty, and every text contains that: give a text")
        check_batch_size(self.batch_size)


@dataclass(frozen=True, kw_only=True)
class SamplingOptions:
    """How tokens are chosen. temperature 0: greedily; top_p: of the smallest set of tokens with that probability."""

    temperature: Annotated[float, Doc("0 writes greedily; otherwise tokens are drawn."), Rare()] = 0.0
    top_p: Annotated[float, Doc("Draw from the most likely tokens with this probability."), Rare()] = 1.0
    samples: Annotated[int, Doc("Completions of each prompt by each variant; needs `temperature`."), Rare()] = 1

    def __post_init__(self) -> None:
        if self.temperature != 0 and not _COLDEST <= self.temperature < float("inf"):
            raise InputError(
                f"`temperature` {self.temperature} is out of range: use 0 (greedy), or {_COLDEST} and more"
            )
        if not 0 < self.top_p <= 1:
            raise InputError(f"`top_p` {self.top_p} is out of range: use more than 0, at most 1")
        if not 1 <= self.samples <= _MOST:
            raise InputError(f"`samples` {self.samples} is out of range: use 1 to {_MOST}")
        if self.samples > 1 and self.greedy:
            raise InputError(f"`samples` {self.samples} would all be the same: give `temperature`, such as 1")

    @property
    def greedy(self) -> bool:
        """Whether the most likely token is always taken."""
        return self.temperature == 0


def check_batch_size(batch_size: int | str) -> None:
    """Raise InputError unless it is ``auto`` or a number of rows."""
    if batch_size != AUTO and (isinstance(batch_size, str) or batch_size < 1):
        raise InputError(f"`batch_size` {batch_size!r} is not known: use auto or a number of rows, at least 1")
