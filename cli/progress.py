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

from .flags import said
from .render import note, plain

_SECONDS_BETWEEN_LINES = 5.0
_LONGEST_BAR, _OTHERS = 40, 78
"""Characters of a bar where there is room, and of all that stands beside it."""


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
    """The bar itself and the time that is over give way where there is no room: numbers are not cut."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(max(1, min(_LONGEST_BAR, console.width - _OTHERS))),
        MofNCompleteColumn(),
        TextColumn("{task.fields[unit]}", markup=False),
        *((TimeElapsedColumn(),) if console.width >= _OTHERS + _LONGEST_BAR else ()),
        TimeRemainingColumn(),
        TextColumn("{task.fields[rates]}", markup=False),
    )
    return Bars(*columns, console=console)


class _Bars:
    """One bar a stage; a stage that begins again gets a new one."""

    def __init__(self, bars: Bars) -> None:
        self._bars = bars
        self._pace = Pace()
        self._task: TaskID | None = None

    def __call__(self, report: Progress) -> None:
        if report.message is not None:
            self._bars.console.print(plain(said(report.message)), markup=False, highlight=False)
            return
        if self._pace.begins(report) or self._task is None:
            self._task = self._bars.add_task(report.stage, total=report.total, unit=report.unit, rates="")
        rates = " ".join(self._pace.rates(report))
        self._bars.update(self._task, completed=report.done, total=report.total, rates=rates)


class _Lines:
    """One line at the beginning and the end of a stage and every few seconds between."""

    def __init__(self) -> None:
        self._pace = Pace()
        self._last = 0.0

    def __call__(self, report: Progress) -> None:
        if report.message is not None:
            note(report.message, quiet=False)
            return
        now = time.monotonic()
        begins, ends = self._pace.begins(report), report.done >= report.total
        if begins or ends or now - self._last > _SECONDS_BETWEEN_LINES:
            parts = [f"{report.done}/{report.total} {report.unit}", *self._pace.rates(report), *self._pace.left(report)]
            sys.stderr.write(f"{report.stage}: {', '.join(parts)}\n")
            self._last = now


class Pace:
    """How fast the stage at hand goes, from the reports since it began here (a resumed run begins part way)."""

    def __init__(self) -> None:
        self._stage: str | None = None
        self._start = 0.0
        self._done = 0

    def begins(self, report: Progress) -> bool:
        """Whether the report is the first of its stage; remembers when that was."""
        if report.stage == self._stage:
            return False
        self._stage, self._start, self._done = report.stage, time.monotonic(), report.done
        return True

    def rates(self, report: Progress) -> list[str]:
        """Tokens, which grow within a batch, and memory, where the report tells them."""
        parts = []
        seconds = time.monotonic() - self._start
        if report.tokens and seconds > 0:
            parts.append(f"{report.tokens:,} tokens ({report.tokens / seconds:,.0f}/s)")
        if report.memory:
            parts.append(f"{report.memory / 1e9:.1f} GB")
        return parts

    def left(self, report: Progress) -> list[str]:
        """The time left, once it can be told."""
        done, left = report.done - self._done, report.total - report.done
        if done <= 0 or left <= 0:
            return []
        seconds = round((time.monotonic() - self._start) / done * left)
        return [f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d} left"]
