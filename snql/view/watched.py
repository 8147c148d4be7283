"""Work that takes long, for as long as somebody waits for it."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

T = TypeVar("T")
Cancel = Future[None]
"""Done when the browser has gone: the page was left, or another question was asked."""


async def watched(request: Request, work: Callable[[Cancel], T]) -> T:
    """What the work gives, done in a thread. Its argument is done if the browser leaves meanwhile."""
    cancel: Cancel = Future()
    watching = asyncio.create_task(_left(request, cancel))
    try:
        return await run_in_threadpool(work, cancel)
    finally:
        watching.cancel()


async def _left(request: Request, cancel: Cancel) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
    cancel.set_result(None)
