"""Ctrl-C at a moment that suits the work: after what is being done has been committed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType


def _nothing() -> None:
    """Say nothing."""


class Stop:
    """Whether Ctrl-C has been pressed; asked at the moments that suit the work. say: what is said of it, once."""

    def __init__(self, say: Callable[[], None] = _nothing) -> None:
        self._pressed = threading.Event()
        self._unsaid = [say]

    @property
    def asked(self) -> bool:
        return self._pressed.is_set()

    def ask(self) -> None:
        """Stop at the next moment that suits."""
        self._pressed.set()

    def tell(self) -> None:
        """Say that the work will stop, if that has not been said; in any thread."""
        with suppress(IndexError):
            self._unsaid.pop()()

    def here(self) -> None:
        """A moment that suits: raises KeyboardInterrupt if Ctrl-C has been pressed."""
        if self.asked:
            raise KeyboardInterrupt


_holding: list[Stop] = []


def holding() -> Stop | None:
    """What holds Ctrl-C back just now, if anything does."""
    return _holding[-1] if _holding else None


@contextmanager
def held_back(say: Callable[[], None]) -> Iterator[Stop]:
    """Within the block, Ctrl-C only calls ``say`` and asks the block to stop; a second one interrupts at once.

    Outside the main thread, or where interrupts are ignored, nothing is changed.
    """
    stop = Stop(say)
    previous = signal.getsignal(signal.SIGINT)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if stop.asked:
            raise KeyboardInterrupt
        stop.ask()
        stop.tell()

    if threading.current_thread() is not threading.main_thread() or previous is not signal.default_int_handler:
        yield stop
        return
    _holding.append(stop)
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, previous)
        _holding.remove(stop)
