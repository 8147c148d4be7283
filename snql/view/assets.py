"""Style, scripts and fonts of the pages, as files of their own: no page has any inside."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from snql.writing.pages import asset

STYLES = ("page.css", "report.css", "neurons.css", "view.css")
SCRIPTS = ("charts.js", "rows.js", "view.js")


def _joined(*names: str) -> bytes:
    return "\n".join(map(asset, names)).encode()


def _font(weight: str) -> bytes:
    import font_source_sans_pro

    return (Path(font_source_sans_pro.font_directory) / f"SourceSansPro-{weight}.ttf").read_bytes()


def _library() -> bytes:
    from snql.reporting.render import library

    return library().encode()


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "style.css": ("text/css", lambda: _joined(*STYLES)),
    "script.js": ("text/javascript", lambda: _joined(*SCRIPTS)),
    "vega.js": ("text/javascript", _library),
    "regular.ttf": ("font/ttf", lambda: _font("Regular")),
    "semibold.ttf": ("font/ttf", lambda: _font("Semibold")),
}
"""Name, type, and how the content is made when it is first asked for."""


@cache
def content(name: str) -> bytes:
    """One file."""
    return FILES[name][1]()


@cache
def address(name: str) -> str:
    """Where pages find a file; another content has another address, so that browsers may keep it."""
    return f"/assets/{name}?{hashlib.sha256(content(name)).hexdigest()[:12]}"


async def serve(request: Request) -> Response:
    """Answer with a file."""
    name = request.path_params["name"]
    if name not in FILES:
        raise HTTPException(404, f"there is no {name!r}")
    kept = {"Cache-Control": "private, max-age=604800, immutable"}
    return Response(content(name), media_type=FILES[name][0], headers=kept)
