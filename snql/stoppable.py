"""Somebody else's SQL in a thread of its own: a time limit and Ctrl-C end it, or the waiting for it."""

import threading
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import TYPE_CHECKING, Any, TypeVar

from snql.errors import RunError

if TYPE_CHECKING:
    import duckdb

T = TypeVar("T")

LIMIT_SECONDS = 60.0
"""For conditions and for sets in SQL, which have no time limit of their own."""
_GRACE_SECONDS = 0.8
"""How long DuckDB may take to notice an interruption. Some functions do not: levenshtein, list_sort."""
_running_on: list[tuple["duckdb.DuckDBPyConnection", "Future[object]"]] = []


def stoppable(
    connection: "duckdb.DuckDBPyConnection",
    work: Callable[[], T],
    timeout: float | None,
    what: str | None = None,
    cancel: "Future[None] | None" = None,
) -> T:
    """Do the work, which may use a connection, in another thread; this one stays free to notice Ctrl-C.

    cancel: done as soon as nobody waits for the result. Raises RunError then, and after ``timeout`` seconds; lets
    KeyboardInterrupt through, at most a second later. What DuckDB does not stop goes on in its thread: :func:`runs_on`
    says so, and a program that is to end must not wait for it.
    """
    future: Future[T] = Future()

    def fulfil() -> None:
        try:
            future.set_result(work())
        except BaseException as error:  # noqa: BLE001 - of whatever kind, it is for the thread that waits
            future.set_exception(error)

    threading.Thread(target=fulfil, name="snql-query", daemon=True).start()
    waited: list[Future[Any]] = [future] if cancel is None else [future, cancel]
    try:
        wait(waited, timeout, FIRST_COMPLETED)
    except KeyboardInterrupt:
        _stop(connection, future)
        raise
    if not future.done():
        _stop(connection, future)
        if cancel is not None and cancel.done():
            raise RunError("nobody waits for the result any more")
        if what is not None:
            raise RunError(f"{what} took longer than {timeout:g} s, and is given no more: ask for less")
        raise RunError(f"the query took longer than `timeout` {timeout:g} s: allow more, or ask for less")
    return future.result()


def runs_on() -> bool:
    """Whether something that was to stop has not: its connection cannot be closed."""
    return any(not future.done() for _, future in _running_on)


def is_busy(connection: "duckdb.DuckDBPyConnection") -> bool:
    """Whether this connection still does what was to stop."""
    return any(each is connection and not future.done() for each, future in _running_on)


def _stop(connection: "duckdb.DuckDBPyConnection", future: "Future[T]") -> None:
    """Interrupt, again and again: between two statements or batches there is nothing to interrupt."""
    for _ in range(round(_GRACE_SECONDS / 0.05)):
        connection.interrupt()
        wait([future], 0.05)
        if future.done():
            return
    _running_on.append((connection, future))  # type: ignore[arg-type]
