"""What made a run: versions, commit and platform, for its row in ``runs``."""

import platform
import subprocess
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path

from snql.distribution import own_version

_LIBRARIES = ("torch", "transformers", "peft", "tokenizers", "duckdb", "polars", "numpy", "altair")


@dataclass(frozen=True)
class Provenance:
    """Versions of snql, Python and the libraries; git_commit is None unless snql runs from a git checkout."""

    snql_version: str
    git_commit: str | None
    libraries: dict[str, str]
    platform: str


@cache
def provenance() -> Provenance:
    """Provenance of this process."""
    libraries = {name: version(name) for name in _LIBRARIES}
    libraries["python"] = platform.python_version()
    return Provenance(own_version(), _git_commit(), libraries, platform.platform())


def _git_commit() -> str | None:
    """The commit of the checkout that this file is tracked in, marked when the tree has changes."""
    here = Path(__file__).resolve()
    if _git(here.parent, "ls-files", "--error-unmatch", here.name) is None:
        return None
    commit = _git(here.parent, "rev-parse", "HEAD")
    changed = _git(here.parent, "status", "--porcelain", "--untracked-files=no")
    return f"{commit}-dirty" if commit and changed else commit


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
