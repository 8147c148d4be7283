"""The application: which address is which page, and what is said where there is none."""

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, BinaryIO

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from snql.errors import DatabaseError, SnqlError
from snql.view import asking, assets, comparison, completions, home, neuron_page, parts, run_page, set_page, sql_page
from snql.view.security import Door, Guarded
from snql.view.site import Page, Site
from snql.view.watched import Cancel, watched
from snql.writing.pages import template
from snql.writing.words import decimal, decimals, number

MENU = (("/", "Runs"), ("/sets", "Sets"), ("/sql", "SQL"), ("/compare", "Compare"))
"""Address and name of the entries of the menu."""

Endpoint = Callable[[Request], Awaitable[Response]]


def application(site: Site, door: Door) -> Guarded:
    """All pages of a site, behind its door."""
    routes = [
        Route("/", _page(site, home.page)),
        Route("/progress", _data(site, home.progress)),
        Route("/run/{run_id:int}", _page(site, run_page.page)),
        Route("/run/{run_id:int}/completions", _page(site, completions.page)),
        Route("/run/{run_id:int}/figure/{name}", _long_page(site, parts.figure)),
        Route("/run/{run_id:int}/table/{name}", _long_page(site, parts.table)),
        Route("/neuron", _answer(neuron_page.named)),
        Route("/neuron/{name}", _page(site, neuron_page.page)),
        Route("/sql", _page(site, sql_page.page)),
        Route("/sql", _asked(site), methods=["POST"]),
        Route("/sql/complete", _completed(site), methods=["POST"]),
        Route("/sql/download", _downloaded(site), methods=["POST"]),
        Route("/compare", _page(site, comparison.page)),
        Route("/sets", _page(site, set_page.page)),
        Route("/assets/{name}", assets.serve),
    ]

    async def refused(_: Request, error: Exception) -> Response:
        status = 503 if isinstance(error, DatabaseError) else 400
        return _written(site, _error_page("This cannot be shown", str(error)), status)

    async def missing(_: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 404
        words = error.detail if isinstance(error, HTTPException) else str(error)
        return _written(site, _error_page("There is no such page", words), status)

    app = Starlette(routes=routes, exception_handlers={SnqlError: refused, HTTPException: missing})
    return Guarded(app, door)


def _page(site: Site, make: Callable[[Site, Request], Page]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        made = await run_in_threadpool(make, site, request)
        return await run_in_threadpool(_written, site, made)

    return endpoint


def _long_page(site: Site, make: Callable[[Site, Request, Cancel], Page]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        made = await watched(request, lambda cancel: make(site, request, cancel))
        return await run_in_threadpool(_written, site, made)

    return endpoint


def _answer(make: Callable[[Request], Response]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return make(request)

    return endpoint


def _asked(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        form = await sql_page.form_of(request)
        made = await watched(request, lambda cancel: sql_page.answered(site, form, cancel))
        return await run_in_threadpool(_written, site, made, 400 if made.values["error"] else 200)

    return endpoint


def _completed(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(sql_page.suggestions, site, await sql_page.form_of(request)))

    return endpoint


def _downloaded(site: Site) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        form = await sql_page.form_of(request)
        name = form.get("format", "")
        file = await watched(request, lambda cancel: asking.file_of(site, asking.Asked.of(form), name, cancel))
        named = {"Content-Disposition": f'attachment; filename="query.{name}"'}
        return StreamingResponse(_read(file), media_type=asking.FORMATS[name], headers=named)

    return endpoint


def _read(file: BinaryIO) -> Iterator[bytes]:
    """A file in parts; closed when all is read, or nobody reads on."""
    with file:
        while part := file.read(1 << 18):
            yield part


def _data(site: Site, make: Callable[[Site, Request], object]) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(make, site, request))

    return endpoint


def _error_page(title: str, words: str) -> Page:
    return Page("view_error.html.j2", title, "", {"words": words})


def _written(site: Site, page: Page, status: int = 200) -> Response:
    around = {"title": page.title, "section": page.section, "menu": MENU, "database": site.path.name}
    text: str = template(page.template).render(_common() | around | dict(page.values))
    return HTMLResponse(text, status)


def _common() -> dict[str, Any]:
    """What every template may use."""
    return {"address": assets.address, "number": number, "decimal": decimal, "decimals": decimals}
