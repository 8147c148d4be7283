"""Files beside the database that a run needs until it is done: its sums so far, and what it has collected.

A file is named in ``run_batches`` by the commit of the batch that wrote it; files that no row names were left by a
process that was killed in between, and are written again.
"""

import hashlib
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from safetensors.numpy import load, save

from snql.db.durable import replaced
from snql.errors import InputError

Arrays = Mapping[str, np.ndarray]


class Staging:
    """One run's folder."""

    def __init__(self, database: Path, run_id: int) -> None:
        self._root = _root(database)
        self._folder = self._root / str(run_id)

    def save(self, name: str, data: bytes) -> str:
        """Write a file; return its SHA-256."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with replaced(self._folder / name) as file:
            file.write(data)
        return hashlib.sha256(data).hexdigest()

    def save_arrays(self, name: str, arrays: Arrays) -> str:
        """Write named arrays; return the file's SHA-256."""
        return self.save(name, save(dict(arrays)))

    def load_arrays(self, name: str, sha256: str) -> Arrays:
        """Read named arrays; raises InputError if the file is missing or is not the one that was written."""
        if not self.sound(name, sha256):
            raise InputError(
                f"{self._folder / name}, which the run needs to go on, is missing or damaged: restore it, or begin "
                "the run again with `force`"
            )
        return load((self._folder / name).read_bytes())

    def sound(self, name: str, sha256: str) -> bool:
        """Whether the file is there as it was written."""
        path = self._folder / name
        if not path.is_file():
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == sha256

    def path(self, name: str) -> Path:
        return self._folder / name

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove every other file."""
        wanted = set(names)
        for path in self._folder.iterdir() if self._folder.is_dir() else ():
            if path.name not in wanted:
                path.unlink()

    def remove(self) -> None:
        """Remove the folder, and the one of all runs when it is the last."""
        shutil.rmtree(self._folder, ignore_errors=True)
        if self._root.is_dir() and not any(self._root.iterdir()):
            self._root.rmdir()


def run_ids(database: Path) -> set[int]:
    """The runs that have a staging folder."""
    root = _root(database)
    return {int(path.name) for path in root.iterdir() if path.name.isdigit()} if root.is_dir() else set()


def _root(database: Path) -> Path:
    return database.with_name(database.name + ".staging")
