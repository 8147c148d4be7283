"""How the database is served."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typing_extensions import Doc

from snql.errors import InputError
from snql.options import Rare

LOOPBACK = ("127.0.0.1", "localhost", "::1")
LONGEST_TIMEOUT = 25.0
"""Jobs wait 30 seconds for the file before they fail, so no query may read for longer."""


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """Where pages are served, and what a query on them may use. compare: databases whose runs can be put beside."""

    port: Annotated[int, Doc("Port; 0: any that is free.")] = 0
    host: Annotated[str, Doc("Address to serve; others than this machine's own are a risk."), Rare()] = "127.0.0.1"
    compare: Annotated[tuple[Path, ...], Doc("Another database, whose runs can be compared; repeatable.")] = ()
    timeout: Annotated[float, Doc("Stop a query after so many seconds, at most 25: jobs wait for it.")] = 20.0
    memory: Annotated[str | None, Doc("Most memory for the database; jobs need theirs.")] = "4GB"
    threads: Annotated[int | None, Doc("Most threads for the database.")] = None

    framed: Annotated[bool, Doc("Let a notebook on this machine show the pages in a frame."), Rare()] = False

    def check(self) -> None:
        """Raise InputError for a port that there is not, or a time that is none or too long."""
        if not 0 <= self.port <= 65_535:
            raise InputError(f"`port` {self.port} is not possible: use 0 to 65535")
        if not 0 < self.timeout <= LONGEST_TIMEOUT:
            raise InputError(
                f"`timeout` {self.timeout:g} is out of range: use seconds, more than 0 and at most {LONGEST_TIMEOUT:g}"
            )


DEFAULTS = ViewOptions()
