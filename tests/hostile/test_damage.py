"""A real file with a byte turned over, cut short, or beside somebody else's log: said in one line, or read rightly."""

import json
import random
import shutil
from pathlib import Path

import numpy as np
import pytest

from snql.db.connection import Database

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..synthetic import add_locate_run

HEADERS, SIZE = 3 * 4096, 262_144
"""Bytes before the first block, and of a block."""


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "sound.duckdb"
    draw = np.random.default_rng(1)
    with Database(path) as db:
        for run in ("a", "b", "c"):
            add_locate_run(db, run, draw.lognormal(size=(6, 400)))
    return path


@pytest.mark.parametrize(
    ("seed", "n_places"), [(7, 20), pytest.param(8, 200, marks=pytest.mark.slow("more places of the same file"))]
)
def test_a_byte_that_is_turned_over_is_never_a_traceback_nor_a_wrong_overlap(
    snql: Snql,  # noqa: F811
    sound: Path,
    tmp_path: Path,
    seed: int,
    n_places: int,
) -> None:
    data = sound.read_bytes()
    expected = snql("--db", str(sound), "--json", "overlap", "a", "b").out
    assert '"overlap"' in expected
    draw, outcomes = random.Random(seed), {"same": 0, "said": 0}
    made = tmp_path / "x.duckdb"
    for _ in range(n_places):
        place = draw.randrange(len(data)) if draw.random() < 0.8 else draw.randrange(3 * 4096)
        made.write_bytes(data[:place] + bytes([data[place] ^ (1 << draw.randrange(8))]) + data[place + 1 :])
        done = snql("--db", str(made), "--json", "overlap", "a", "b")
        if done.code == 0:
            assert done.out == expected, place
            outcomes["same"] += 1
        else:
            assert done.code in (1, 2) and done.err.count("\n") == 1 and done.out == "", (place, done.err)
            outcomes["said"] += 1
    assert min(outcomes.values()) > 3, outcomes


BETWEEN = pytest.mark.slow("a place between two that are looked at always")


@pytest.mark.parametrize(
    "share", [0.0, 0.01, 0.7, 0.99999, *(pytest.param(each, marks=BETWEEN) for each in (0.001, 0.3, 0.99))]
)
def test_a_file_that_was_cut_off(snql: Snql, sound: Path, tmp_path: Path, share: float) -> None:  # noqa: F811
    data = sound.read_bytes()
    expected = snql("--db", str(sound), "--json", "overlap", "a", "b").out
    made = tmp_path / "x.duckdb"
    for command in (["--json", "overlap", "a", "b"], ["runs"], ["db", "check"], ["query", "FROM neuron_scores"]):
        made.write_bytes(data[: int(share * len(data))])
        done = snql("--db", str(made), *command)
        assert "Traceback" not in done.err and (done.code == 0 or done.err.count("\n") == 1), (command, done.err)
        assert done.code != 0 or command[1:2] != ["overlap"] or done.out == expected


MORE_LOGS = pytest.mark.slow("another text that is no log")


@pytest.mark.parametrize("log", [b"", b"WAL" * 999, pytest.param(b"\xff" * 70_000, marks=MORE_LOGS)])
def test_a_log_of_somebody_else(snql: Snql, sound: Path, tmp_path: Path, log: bytes) -> None:  # noqa: F811
    made = Path(shutil.copy(sound, tmp_path / "x.duckdb"))
    for command in (["runs"], ["overlap", "a", "b"], ["db", "check"], ["db", "migrate"]):
        (tmp_path / "x.duckdb.wal").write_bytes(log)
        done = snql("--db", str(made), *command)
        assert "Traceback" not in done.err and (done.code == 0 or done.err.count("\n") == 1), (command, done.err)


def test_a_deep_check_reads_every_block_and_names_those_that_are_damaged(
    snql: Snql,  # noqa: F811
    sound: Path,
    tmp_path: Path,
) -> None:
    data, made = sound.read_bytes(), tmp_path / "x.duckdb"
    n_blocks = (len(data) - HEADERS) // SIZE
    done = snql("--db", str(sound), "db", "check", "--deep")
    assert done.code == 0 and f"read all {n_blocks} blocks of {sound} ({len(data) / 1e6:.1f} MB)" in done.err
    draw = random.Random(5)
    for number in range(n_blocks):
        damaged = bytearray(data)
        damaged[HEADERS + number * SIZE + draw.randrange(SIZE)] ^= 1 << draw.randrange(8)
        made.write_bytes(damaged)
        done = snql("--db", str(made), "--json", "db", "check", "--deep")
        if done.code == 2:  # DuckDB needs the block to open the file
            assert "does not have its checksum" in done.err
            continue
        (found,) = json.loads(done.out)
        assert done.code == 1 and found["what"].startswith(f"block {number} of {n_blocks} does not have its checksum")
    made.write_bytes(data[:-1])
    assert snql("--db", str(made), "db", "check", "--deep").code == 2
