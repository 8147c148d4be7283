"""Who is answered: whoever has the token, on this machine's own names, from the server's own pages."""

import ipaddress
import secrets
import socket
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from snql.view.options import LOOPBACK

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; style-src-attr 'unsafe-inline'; img-src 'self' data: "
    "blob:; font-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors {}"
)
"""Nothing from elsewhere, and no script or style but files of this package. Attributes hold colours of activations."""
_IN_NOTEBOOKS = "http://localhost:* http://127.0.0.1:*"


@dataclass(frozen=True)
class Door:
    """What a request must have. framed: whether pages may stand in a notebook on this machine.

    The token is in the first address only; from then on a cookie has it, which other sites' pages cannot send along.
    """

    host: str = LOOPBACK[0]
    port: int = 0
    framed: bool = False
    token: str = field(default_factory=lambda: secrets.token_urlsafe(24), repr=False)

    @property
    def cookie(self) -> str:
        """Cookies know no ports: two servers of one machine would take each other's."""
        return f"snql_{self.port}"

    @property
    def policy(self) -> str:
        return _POLICY.format(_IN_NOTEBOOKS if self.framed else "'none'")

    def refusal(self, request: Request) -> Response | None:
        """The answer to a request that is not let in; None for one that is."""
        host, origin = request.headers.get("host", ""), request.headers.get("origin")
        if not self._is_own(host):  # a name that somebody else gave to this machine's address
            return PlainTextResponse("snql view answers to this machine's own names only.", 421)
        if origin != f"http://{host}" and (origin is not None or request.method == "POST"):
            return PlainTextResponse("snql view answers to its own pages only.", 403)
        shown = request.query_params.get("token") if request.method == "GET" else None
        if not self._is_token(shown) and not self._is_token(request.cookies.get(self.cookie)):
            return PlainTextResponse("Open the address that snql view printed: it holds the key to these pages.", 403)
        return None

    def let_in(self, path: str) -> Response:
        """The answer to the first address: the same without the token, which a cookie now has."""
        answer = RedirectResponse(path, 303)
        answer.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return answer

    def _is_token(self, given: str | None) -> bool:
        return given is not None and secrets.compare_digest(given.encode(), self.token.encode())

    def _is_own(self, host: str) -> bool:
        """Whether a Host header names this machine: by a name of its own, or by a number, which no name can rebind."""
        try:
            name = (urlsplit(f"//{host}").hostname or "").rstrip(".")
        except ValueError:
            return False
        if name in LOOPBACK:
            return True
        return self.host not in LOOPBACK and (_is_address(name) or name in (self.host, *_own_names()))


class Guarded:
    """An application behind a door; its answers carry what browsers must know to keep others out."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app, self._door = app, door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # no page opens a socket
            await send({"type": "websocket.close"})
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                _add_headers(MutableHeaders(scope=message), self._door.policy)
            await send(message)

        request = Request(scope)
        answer = self._door.refusal(request)
        if answer is None and "token" in request.query_params:
            answer = self._door.let_in(_local(request.url.path))
        await (answer or self._app)(scope, receive, send_with_headers)


def _add_headers(headers: MutableHeaders, policy: str) -> None:
    headers["Content-Security-Policy"] = policy
    headers["X-Content-Type-Options"] = "nosniff"
    headers["Referrer-Policy"] = "same-origin"
    headers["Cross-Origin-Resource-Policy"] = "same-origin"
    headers["Cross-Origin-Opener-Policy"] = "same-origin"
    headers.setdefault("Cache-Control", "no-store")


def _local(path: str) -> str:
    """A path that stays on this server: ``//elsewhere`` would be another."""
    return "/" + path.lstrip("/\\")


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _own_names() -> tuple[str, ...]:
    return socket.gethostname().lower(), socket.getfqdn().lower()
