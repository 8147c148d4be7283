"""Progress on standard error: a bar on a terminal, plain lines elsewhere, nothing when quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as Bars

from snql.progress import Progress, ProgressCallback, silent

_SECONDS_BETWEEN_LINES = 5.0


@contextmanager
def progress_shown(*, quiet: bool) -> Iterator[ProgressCallback]:
    """A progress callback that shows what it is told."""
    if quiet:
        yield silent
    elif sys.stderr.isatty():
        with _bars() as bars:
            yield _Bars(bars)
    else:
        yield _Lines()


def _bars() -> Bars:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    return Bars(*columns, console=Console(stderr=True))


class _Bars:
    """One bar a stage; a stage that begins again gets a new one."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._stage = ""
        self._task: TaskID | None = None

    def __call__(self, report: Progress) -> None:
        if self._task is None or report.stage != self._stage:
            self._stage = report.stage
            self._task = self._bars.add_task(report.stage, total=report.total, unit=report.unit)
        self._bars.update(self._task, completed=report.done, total=report.total)


class _Lines:
    """One line at the beginning and the end of a stage and every few seconds between."""

    def __init__(self) -> None:
        self._stage = ""
        self._last = 0.0

    def __call__(self, report: Progress) -> None:
        now = time.monotonic()
        begins, ends = report.stage != self._stage, report.done >= report.total
        if begins or ends or now - self._last > _SECONDS_BETWEEN_LINES:
            sys.stderr.write(f"{report.stage}: {report.done}/{report.total} {report.unit}\n")
            self._stage, self._last = report.stage, now
