"""Readers come in together, and leave gaps for writers."""

import threading
import time
from itertools import pairwise

from snql.view.turns import LONGEST_SECONDS, Turns


def test_readers_that_never_stop_leave_gaps() -> None:
    turns, inside, end = Turns(), [0], time.monotonic() + 3 * LONGEST_SECONDS
    lock, empty = threading.Lock(), list[float]()

    def read() -> None:
        while time.monotonic() < end:
            with turns.turn():
                with lock:
                    inside[0] += 1
                time.sleep(0.02)
                with lock:
                    inside[0] -= 1
                    if not inside[0]:
                        empty.append(time.monotonic())

    readers = [threading.Thread(target=read) for _ in range(8)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    gaps = [after - before for before, after in pairwise(empty)]
    assert len(empty) >= 3 and max(gaps) < LONGEST_SECONDS + 0.3


def test_a_long_query_is_read_beside_and_none_follows_it() -> None:
    turns, order = Turns(), list[str]()
    held, done = threading.Event(), threading.Event()

    def first() -> None:
        with turns.turn(long=True):
            held.set()
            done.wait(10)
        order.append("first ended")

    def second() -> None:
        with turns.turn(long=True):
            order.append("second began")

    one = threading.Thread(target=first)
    one.start()
    held.wait(10)
    time.sleep(LONGEST_SECONDS + 0.05)
    other = threading.Thread(target=second)
    other.start()
    with turns.turn():
        order.append("page")
    time.sleep(0.05)
    done.set()
    one.join()
    other.join()
    assert order[0] == "page" and order.index("second began") > 0
