"""How the library reports progress: through a callback, never by printing."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """One progress report.

    stage: what is being done, such as ``generate`` or ``contrast``; done and total: units of that stage (``unit``).
    """

    stage: str
    done: int
    total: int
    unit: str


ProgressCallback = Callable[[Progress], None]


def silent(_: Progress) -> None:
    """Report nothing."""
