"""When pages may read: together, but never so that one after the other keeps a writing job from the file."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_SECONDS = 0.5
"""How long pages that follow one another may keep the file open between them."""
GAP_SECONDS = 0.02
"""For how long nobody reads after that: writers look for the lock every 5 ms."""


class Turns:
    """Lets readers in. A writer waits for those that are in, for half a second of others, and for one long query."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._readers = self._long = 0
        self._since = self._free_from = 0.0

    @contextmanager
    def turn(self, *, long: bool = False) -> Iterator[None]:
        """Read within the block. long: a query that may take many seconds; others read beside it, none follows it."""
        with self._changed:
            self._changed.wait_for(lambda: self._may_enter(long))
            if self._readers == 0:
                time.sleep(max(0.0, self._free_from - time.monotonic()))
                self._since = time.monotonic()
            self._readers += 1
            self._long += long
        try:
            yield
        finally:
            with self._changed:
                self._readers -= 1
                self._long -= long
                if self._readers == 0:
                    self._free_from = time.monotonic() + GAP_SECONDS
                self._changed.notify_all()

    def _may_enter(self, long: bool) -> bool:
        held = time.monotonic() - self._since
        return self._readers == 0 or held < LONGEST_SECONDS or (self._long > 0 and not long)
