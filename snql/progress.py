"""How the library reports progress: through a callback, never by printing."""

import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, replace
from typing import TypeVar

T = TypeVar("T")

_SECONDS_UNTOLD = 1.0
_SECONDS_BETWEEN = 0.25


@dataclass(frozen=True)
class Progress:
    """One progress report.

    stage: what is being done, such as ``contrast`` or ``patch``; done and total: units of that stage (``unit``).
    tokens: written or read by this process in the stage, where they are counted. memory: bytes in use by it. message:
    something to say that is not about a stage.
    """

    stage: str
    done: int
    total: int
    unit: str
    tokens: int | None = None
    memory: int | None = None
    message: str | None = None


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""


def say(progress: ProgressCallback, message: str) -> None:
    """Report something that is not about a stage."""
    progress(Progress("", 0, 0, "", message=message))


def say_note(progress: ProgressCallback, note: str) -> None:
    """Report one of a run's notes: what its numbers must be read with."""
    say(progress, f"note: {note}")


def within(step: str, progress: ProgressCallback) -> ProgressCallback:
    """Reports as stages of one step of several, ``STEP: STAGE``."""
    return lambda report: progress(replace(report, stage=f"{step}: {report.stage}"))


def counted(items: Collection[T], progress: ProgressCallback, stage: str, unit: str = "prompts") -> Iterator[T]:
    """The items, one after the other; a stage that takes longer than a second is reported as it goes."""
    told, last = False, time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > (_SECONDS_BETWEEN if told else _SECONDS_UNTOLD):
            progress(Progress(stage, done, len(items), unit))
            told, last = True, time.monotonic()
        yield item
    if told:
        progress(Progress(stage, len(items), len(items), unit))
