"""How the library reports progress: through a callback, never by printing."""

from collections.abc import Callable
from dataclasses import dataclass, replace


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
