"""What reading adds, by a clock of the tests: which passes count, and in what units."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from snql.guard import latency, running

CPU: Any = SimpleNamespace(base=SimpleNamespace(device=SimpleNamespace(type="cpu")))


def test_the_first_pair_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([5.0, 500, 10, 11, 10, 14, 10, 12])
    monkeypatch.setattr(latency, "_timed", lambda *_: next(taken))
    opened: list[int] = []

    @contextmanager
    def reading() -> Iterator[list[Any]]:
        opened.append(1)
        yield []

    assert latency.added(CPU, (1,), reading, 3) == latency.Added(2, 1.5, 3)
    assert len(opened) == 4
    assert latency.added(CPU, (1,), reading, 0) is None


def test_a_guard_adds_the_median_of_the_differences(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = iter([10, 13, 20, 21, 30, 36])
    monkeypatch.setattr(running, "_timed", lambda *_: next(taken))
    attached: Any = nullcontext()
    assert running._latency(CPU, (1,), attached, 3) == (20, 21, 3)
    assert running._latency(CPU, (1,), attached, 0) == (None, None, None)


@pytest.mark.parametrize("module", [latency, running])
def test_milliseconds_of_one_pass(monkeypatch: pytest.MonkeyPatch, module: ModuleType) -> None:
    clock = iter([2.0, 2.25])
    passes: list[Any] = []
    monkeypatch.setattr(module, "Stream", lambda _, texts: SimpleNamespace(logits=lambda: passes.append(texts)))
    monkeypatch.setattr(module, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    assert module._timed(CPU, (7, 8), None) == 250
    assert passes == [[(7, 8)]]
