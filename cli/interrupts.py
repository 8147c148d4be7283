"""Ctrl-C at any moment: one line within a second, whatever this process is doing, and exit code 130.

Python raises KeyboardInterrupt in its main thread, between two of its own instructions: late while a library computes,
and with a traceback, or not at all, while one is imported or an object is finalised. A thread of its own hears of
Ctrl-C at once, and ends the process where nothing else has: as if it were killed, which all files are made for.
"""

import _thread
import atexit
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

from snql.interrupts import Stop, holding

EXIT_CODE = 130
_SECONDS_TO_SAY = 0.4
_SECONDS_TO_END = 0.8
_AGAIN = 0
"""In place of a signal's number: Ctrl-C is to be pressed once more."""
_SHOW_CURSOR = "\x1b[?25h\n"
"""Bars of progress hide it."""


class Watch:
    """Hears of Ctrl-C as soon as it is pressed."""

    def __init__(self) -> None:
        self._writer: int | None = None
        self._ending: threading.Timer | None = None
        self._heard: Stop | None = None
        self._code = EXIT_CODE
        self.begin("")

    @property
    def ending(self) -> bool:
        """Whether the process is about to end because of Ctrl-C: whatever error there is now is one of that."""
        return self._ending is not None

    def listen(self) -> None:
        """From now on; in the main thread."""
        if self._writer is not None or sys.platform == "win32":
            return
        reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        atexit.register(_ignored)  # the first to be registered is the last to run
        os.register_at_fork(after_in_child=lambda: signal.set_wakeup_fd(-1))
        sys.unraisablehook = self._asking_again(sys.unraisablehook)
        threading.Thread(target=self._hear, args=(reader,), name="snql-ctrl-c", daemon=True).start()

    def begin(self, going_on: str) -> None:
        """A command begins. going_on: what is said of how it goes on, should it be interrupted."""
        self._line = f"snql: interrupted{going_on}\n"
        self._unsaid = threading.Lock()

    def say(self) -> None:
        """Say, once, that the command was interrupted."""
        if self._unsaid.acquire(blocking=False):
            sys.stderr.write(self._line)
            sys.stderr.flush()

    def answered(self) -> None:
        """Who was interrupted has said so, and goes on."""
        ending, self._ending = self._ending, None
        if ending is not None:
            ending.cancel()

    def leave(self, code: int) -> None:
        """All is done but what Python does at its end; Ctrl-C can hasten that, and is no error any more."""
        self._code = code
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, lambda *_: None)

    def _hear(self, reader: int) -> None:
        while numbers := os.read(reader, 64):
            if _AGAIN in numbers:
                _thread.interrupt_main()
            for _ in range(numbers.count(signal.SIGINT)):
                self._press()

    def _asking_again(self, hook: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """A hook for errors that nobody can catch: Ctrl-C in such a place is not told, but pressed once more."""

        def told(unraisable: Any) -> None:
            if self._writer is not None and issubclass(unraisable.exc_type, KeyboardInterrupt):
                os.write(self._writer, bytes([_AGAIN]))  # here it would not be caught either
            else:
                hook(unraisable)

        return told

    def _press(self) -> None:
        stop = holding()
        if stop is not None and stop is not self._heard:
            self._heard = stop
            _later(_SECONDS_TO_SAY, stop.tell)
        elif self._ending is None:
            self._ending = _later(_SECONDS_TO_END, self._end)

    def _end(self) -> None:
        """End the process where it stands. Nobody may read what it says, or the main thread be saying something."""
        _later(0.1, lambda: os._exit(self._code))
        if self._code == EXIT_CODE and self._unsaid.acquire(blocking=False):
            cursor = _SHOW_CURSOR if os.isatty(2) else ""
            os.write(2, f"{cursor}{self._line}".encode(sys.stderr.encoding or "utf-8", "replace"))
        os._exit(self._code)


def _ignored() -> None:
    """What follows is short, and a signal would end it without a word and with another exit code."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _later(seconds: float, act: Callable[[], None]) -> threading.Timer:
    timer = threading.Timer(seconds, act)
    timer.daemon = True
    timer.start()
    return timer


WATCH = Watch()
