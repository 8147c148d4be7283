"""Ctrl-C at a moment that suits the work: after what is being done has been committed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def held_back(asked: Callable[[], None]) -> Iterator[Callable[[], None]]:
    """Within the block, Ctrl-C only calls ``asked``; the block calls what it is given where it can stop.

    That raises KeyboardInterrupt if Ctrl-C has been pressed. A second Ctrl-C interrupts at once. Outside the main
    thread, or where interrupts are ignored, nothing is changed.
    """
    pressed = threading.Event()
    previous = signal.getsignal(signal.SIGINT)

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        if pressed.is_set():
            raise KeyboardInterrupt
        pressed.set()
        asked()

    def stop_if_pressed() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread() or previous is not signal.default_int_handler:
        yield stop_if_pressed
        return
    signal.signal(signal.SIGINT, on_signal)
    try:
        yield stop_if_pressed
    finally:
        signal.signal(signal.SIGINT, previous)
