"""Progress of one stage of a run, with tokens and memory."""

import time

import psutil
import torch

from snql.progress import Progress, ProgressCallback

_SECONDS_BETWEEN_TICKS = 0.25


class Watch:
    """Counts what a stage has done, and reports it."""

    def __init__(self, progress: ProgressCallback, stage: str, done: int, total: int, unit: str) -> None:
        self._progress = progress
        self._stage, self._unit = stage, unit
        self._done, self._total = done, total
        self._tokens = self._ahead = 0
        self._reported = 0.0
        self._report()

    def tick(self, tokens: int) -> None:
        """Tokens of the batch at work."""
        self._ahead += tokens
        if time.monotonic() - self._reported > _SECONDS_BETWEEN_TICKS:
            self._report()

    def advance(self, done: int, tokens: int) -> None:
        """A batch is done."""
        self._done += done
        self._tokens, self._ahead = self._tokens + tokens, 0
        self._report()

    def _report(self) -> None:
        self._reported = time.monotonic()
        tokens = self._tokens + self._ahead
        self._progress(Progress(self._stage, self._done, self._total, self._unit, tokens or None, memory_in_use()))


def memory_in_use() -> int:
    """Bytes in use by this process: on its GPUs if it has any, in main memory otherwise."""
    if torch.cuda.is_available():
        return sum(torch.cuda.memory_reserved(index) for index in range(torch.cuda.device_count()))
    return int(psutil.Process().memory_info().rss)
