"""The server: a socket on this machine, and who may open it."""

import asyncio
import socket
import threading
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import uvicorn

from snql.errors import InputError
from snql.view.app import application
from snql.view.options import DEFAULTS, LOOPBACK, ViewOptions
from snql.view.security import Door
from snql.view.site import Site

_SECONDS_TO_STOP = 2


@dataclass(frozen=True)
class Served:
    """Pages that are or will be answered. address: what to open; it holds the key."""

    address: str
    server: uvicorn.Server
    listening: socket.socket

    def run(self) -> None:
        """Answer until Ctrl-C, or :meth:`stop` of another thread."""
        with self.listening:
            asyncio.run(self.server.serve([self.listening]))

    def start(self) -> None:
        """Answer in a thread of its own."""
        threading.Thread(target=self.run, name="snql-view", daemon=True).start()

    def stop(self) -> None:
        """Answer no more; requests that are being answered have two seconds."""
        self.server.should_exit = True


def serve(path: Path, options: ViewOptions = DEFAULTS) -> Served:
    """The pages of a database, ready to be answered.

    Raises InputError for options that are not possible or a port that is taken, DatabaseError if the database cannot
    be read.
    """
    options.check()
    site = Site(path.absolute(), options)
    for database in site.databases(checked=False).values():
        database.rows("SELECT 1")
        database.close()
    listening = _bound(options.host, options.port)
    port = int(listening.getsockname()[1])
    door = Door(options.host, port, options.framed)
    config = uvicorn.Config(
        application(site, door),
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="off",
        ws="none",
        proxy_headers=False,
        timeout_graceful_shutdown=_SECONDS_TO_STOP,
    )
    name = f"[{options.host}]" if ":" in options.host else options.host
    address = f"http://{name}:{port}/?token={quote(door.token)}"
    return Served(address, uvicorn.Server(config), listening)


def is_open(options: ViewOptions) -> bool:
    """Whether others than this machine can reach the server."""
    return options.host not in LOOPBACK


def _bound(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(
            f"`host` {host}, `port` {port} cannot be served: {reason}; another `port`, or 0 for any"
        ) from error
