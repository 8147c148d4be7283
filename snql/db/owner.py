"""Which process works on a run, so that two never do at once."""

import os
import re
import socket
from functools import cache
from pathlib import Path


@cache
def owner() -> str:
    """This process as ``host:pid:start``; start tells it from a later process with the same number."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start(os.getpid())}"


def works_elsewhere(name: str | None) -> bool:
    """Whether that owner is another process of this machine that is still alive."""
    if name is None or name == owner():
        return False
    host, pid, start = name.rsplit(":", 2)
    return host == socket.gethostname() and _start(int(pid)) == start != ""


def _start(pid: int) -> str:
    """When a process began, empty if there is none; where that cannot be told, only whether it lives."""
    stat = Path(f"/proc/{pid}/stat")
    if stat.parent.parent.joinpath("self").exists():
        try:
            return stat.read_text().rpartition(")")[2].split()[19]
        except (OSError, IndexError):
            return ""
    try:
        os.kill(pid, 0)
    except OSError:
        return ""
    return "alive"


def is_dead(name: str) -> bool:
    """Whether HOST:PID:START.RANDOM is of this machine and its process has ended; of another machine nobody knows."""
    who, here = name.rpartition(".")[0], owner().partition(":")[0]
    known = re.fullmatch(re.escape(here) + r":\d+:\w+", who, re.ASCII)
    return known is not None and who != owner() and not works_elsewhere(who)
