"""Every block of a database file, in use or free, against the checksum that it begins with."""

from dataclasses import dataclass

import numpy as np

from snql.db.connection import Database
from snql.db.damage import HEADERS, check_length

_HEADER = HEADERS // 3
_FACTOR = np.uint64(0xBF58476D1CE4E5B9)
_START = np.uint64(5381)
_AT_ONCE = 64


@dataclass(frozen=True)
class Blocks:
    """What was read. n_empty: blocks of zeros, which were never written; damaged: numbers of blocks, from 0.

    is_known: whether any block had its checksum; without, the file's checksums are of a kind that is not known here.
    """

    n_blocks: int
    n_bytes: int
    n_empty: int
    damaged: tuple[int, ...]
    headers_damaged: bool

    @property
    def is_known(self) -> bool:
        return self.n_blocks == 0 or len(self.damaged) + self.n_empty < self.n_blocks


def read_blocks(db: Database) -> Blocks:
    """Read the whole file but its log; nobody can write meanwhile. Raises DatabaseError if it ends too early."""
    with db.reading() as connection:
        check_length(db.path, connection)
        ((size,),) = connection.execute("SELECT max(block_size) FROM pragma_database_size()").fetchall()
        n_blocks, n_empty, damaged = 0, 0, list[int]()
        with db.path.open("rb") as file:
            headers = _sound(np.frombuffer(file.read(HEADERS), "<u8").reshape(3, -1))
            while part := file.read(_AT_ONCE * size):
                blocks = np.frombuffer(part, "<u8").reshape(-1, size // 8)
                written = blocks.any(axis=1)
                damaged += (n_blocks + np.flatnonzero(written & ~_sound(blocks))).tolist()
                n_blocks, n_empty = n_blocks + len(blocks), n_empty + int((~written).sum())
    sound_headers = bool(headers[0] and headers[1:].any())  # of the last two, one is of the state before
    return Blocks(n_blocks, HEADERS + n_blocks * size, n_empty, tuple(damaged), not sound_headers)


def _sound(blocks: "np.ndarray[tuple[int, int], np.dtype[np.uint64]]") -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
    """Whether each row begins with the checksum of what follows, as DuckDB computes it; shape (blocks, words)."""
    found = np.bitwise_xor.reduce(blocks[:, 1:] * _FACTOR, axis=1) ^ _START
    return np.asarray(found == blocks[:, 0])
