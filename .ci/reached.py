"""What each test runs: a plugin of pytest that notes lines of chosen files, by test.

Lines of fixtures that several tests share count for all of these; those of modules and classes for all tests. Tests
that take too long are broken off, and are not among them, nor are those that fail.
"""

import inspect
import signal
import sys
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from types import CodeType, FrameType
from typing import Any

import pytest

Line = tuple[str, int]


@dataclass
class Reach:
    """Lines by test and by shared fixture; seconds of each test, and the fixtures that it has."""

    imported: set[Line] = field(default_factory=set)
    tests: dict[str, set[Line]] = field(default_factory=dict)
    fixtures: dict[str, set[Line]] = field(default_factory=dict)
    has: dict[str, list[str]] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)

    def of(self, lines: Collection[Line], folders: tuple[str, ...]) -> list[str]:
        """The tests of some folders or files that run any of some lines, or all of them; the fastest first."""
        wanted = set(lines)
        shared = {name for name, found in self.fixtures.items() if found & wanted}
        everywhere = not wanted or bool(self.imported & wanted)
        found = [t for t, own in self.tests.items() if everywhere or own & wanted or shared & set(self.has[t])]
        return sorted((t for t in found if t.startswith(folders)), key=lambda test: self.seconds[test])


class Recorder:
    """Notes lines of ``files`` (absolute paths) while tests run, each for at most ``longest`` seconds of processor."""

    def __init__(self, files: Collection[str], longest: int) -> None:
        self.reach = Reach()
        self._longest = longest
        self._files = frozenset(files)
        self._now: set[Line] = set()
        self._failed: set[str] = set()

    def start(self) -> None:
        signal.signal(signal.SIGPROF, _break_off)
        threading.settrace(self._called)
        sys.settrace(self._called)

    def _called(self, frame: FrameType, _event: str, _arg: object) -> Any:
        return self._lines(frame.f_code) if frame.f_code.co_filename in self._files else None

    def _lines(self, code: CodeType) -> Any:
        name, in_function = code.co_filename, code.co_flags & inspect.CO_OPTIMIZED

        def note(frame: FrameType, _event: str, _arg: object) -> Any:
            (self._now if in_function else self.reach.imported).add((name, frame.f_lineno))
            return note

        return note

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Function) -> Iterator[None]:
        self._now = self.reach.tests.setdefault(item.nodeid, set())
        self.reach.has[item.nodeid] = list(item.fixturenames)
        began = time.process_time()
        found = yield
        self.reach.seconds[item.nodeid] = time.process_time() - began
        if self.reach.seconds[item.nodeid] > self._longest or item.nodeid in self._failed:
            del self.reach.tests[item.nodeid]
        return found

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self._failed.add(report.nodeid)

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self) -> Iterator[None]:
        signal.setitimer(signal.ITIMER_PROF, self._longest)
        try:
            return (yield)
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Iterator[None]:
        before = self._now
        if fixturedef.scope != "function":
            self._now = self.reach.fixtures.setdefault(fixturedef.argname, set())
        try:
            return (yield)
        finally:
            self._now = before


def _break_off(_signal: int, _frame: object) -> None:
    pytest.skip("takes too long")


@dataclass(frozen=True)
class Only:
    """Of what is collected, these tests alone, in this order."""

    names: Sequence[str]

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        order = {name: index for index, name in enumerate(self.names)}
        items[:] = sorted((item for item in items if item.nodeid in order), key=lambda item: order[item.nodeid])
