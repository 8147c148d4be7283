"""The pages in a notebook: a server of its own, shown in a frame."""

import atexit
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from snql.errors import DatabaseError, InputError
from snql.view.security import Door
from snql.writing.inert import html

_SECONDS_TO_END = 5


@dataclass(frozen=True)
class Shown:
    """Pages that another process serves, since one that writes to a DuckDB file cannot read it elsewhere meanwhile.

    address: what to open in a browser; it holds the key.
    """

    address: str
    process: "subprocess.Popen[str]"
    height: int

    def stop(self) -> None:
        """End the server."""
        self.process.terminate()
        try:
            self.process.wait(_SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def _repr_html_(self) -> str:
        near = html(self.address.replace(f"//{Door().host}:", "//localhost:"))  # a cookie's site, as most notebooks'
        return (
            f'<iframe src="{near}" title="snql view" width="100%" height="{self.height}" style="border:0"></iframe>'
            f'<p><a href="{html(self.address)}" target="_blank" rel="noopener">Open it in a tab of its own</a></p>'
        )


def show(path: Path, height: int) -> Shown:
    """Serve a database until this process ends. Raises InputError or DatabaseError with what the server says."""
    if not path.exists():
        raise DatabaseError(f"no database at {path}: run `snql demo` or `snql locate` first")
    command = [sys.executable, "-m", "snql", "--quiet", "--db", str(path.absolute()), "view", "--no-open", "--framed"]
    process = subprocess.Popen(  # noqa: S603
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    shown = Shown(process.stdout.readline().strip() if process.stdout else "", process, height)
    if not shown.address:
        said = process.stderr.read() if process.stderr else ""
        process.wait()
        raise InputError(said.strip().removeprefix("snql: ") or "the server did not begin")
    atexit.register(shown.stop)
    return shown
