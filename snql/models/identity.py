"""What a model is: the SHA-256 of its files, computed from what they hold and never read off a name."""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path

from snql.errors import ModelError
from snql.models.remembered import recall, remember

_REMEMBERED_FROM = 32 << 20
"""Bytes from which a hash is remembered: smaller files are hashed faster than a memory of them is read."""
_SETTLED_NS = 2_000_000_000
"""A file that changed a moment ago could change again within the same tick of its clock."""


def sha256_of(path: Path) -> str:
    """The hash of what the file holds; that of a large one is remembered by path, size, times and inode.

    Raises ModelError for a file that cannot be read.
    """
    try:
        state = path.stat()
        if state.st_size < _REMEMBERED_FROM:
            return _computed(path)
        key = _key(path, state)
        if (known := recall("hashes", key)) is not None:
            return known
        found = _computed(path)
        settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
        if settled and _key(path, path.stat()) == key:
            remember("hashes", key, found)
        return found
    except OSError as error:
        raise ModelError(f"{path} cannot be read ({error.strerror}): check the file or what it links to") from error


def hashes_of(files: Mapping[str, Path]) -> dict[str, str]:
    """The hash of each file, by its name."""
    return {name: sha256_of(path) for name, path in sorted(files.items())}


def combined_hash(hashes: Mapping[str, str]) -> str:
    """One SHA-256 for a set of file hashes."""
    listing = "".join(f"{name} {digest}\n" for name, digest in sorted(hashes.items()))
    return hashlib.sha256(listing.encode()).hexdigest()


def _computed(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _key(path: Path, state: os.stat_result) -> str:
    times = f"{state.st_mtime_ns} {state.st_ctime_ns}"
    return f"{path.resolve()} {state.st_dev} {state.st_ino} {state.st_size} {times}"
