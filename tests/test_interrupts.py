"""Ctrl-C is held back in the main thread, and nowhere else."""

import os
import signal
import threading

import pytest

from snql.interrupts import Stop, held_back


def press() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_asks_and_the_second_interrupts() -> None:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt), held_back(lambda: said.append("stopping")) as stop:
        stop.here()
        press()
        assert stop.asked
        assert said == ["stopping"]
        press()
        pytest.fail("a second Ctrl-C went by")
    with pytest.raises(KeyboardInterrupt), held_back(lambda: None) as stop:
        press()
        stop.here()
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_other_threads_and_ignored_interrupts_are_left_alone() -> None:
    found: list[object] = []

    def work() -> None:
        with held_back(lambda: None) as stop:
            found.extend((signal.getsignal(signal.SIGINT), stop.asked))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == [signal.default_int_handler, False]
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with held_back(lambda: pytest.fail("was not ignored")) as stop:
            assert isinstance(stop, Stop)
            press()
            stop.here()
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
