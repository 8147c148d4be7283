"""A dense model's runs in rows and in shards, and a mixture's."""

import shutil
from contextlib import suppress
from dataclasses import dataclass

import pytest

from snql.db.connection import Database
from snql.neurons.sets import Shape

from .made import Coordinates, Made, add_run, add_tokens

DENSE = Shape(3, 20)
KEPT: list[Coordinates] = [(0, None, 3), (0, None, 7), (1, None, 0), (2, None, 19)]
MIXED = Shape(2, 24, 4)
KEPT_MIXED: list[Coordinates] = [(0, 2, 1), (0, 3, 1), (1, 0, 5)]
WORDS = [" one", " two", "three", " four", "<script>alert(1)</script>", "\x1b[31mred", " x\u202ey", "]["]


@dataclass
class Filled:
    """A database with run ``kept``, whose tokens are stored, and run ``bare`` of the same model."""

    db: Database
    kept: Made
    bare: Made


def _copied(made: Filled, db: Database) -> Filled:
    """The same runs in the test's own database, which it may change."""
    shutil.copy(made.db.path, db.path)
    with suppress(FileNotFoundError):
        shutil.copytree(f"{made.db.path}.shards", f"{db.path}.shards")
    return Filled(db, made.kept, made.bare)


@pytest.fixture(scope="session", params=["rows", "parquet"])
def made_dense(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Filled:
    db = Database(tmp_path_factory.mktemp("dense") / "test.duckdb")
    kept = add_run(db, "kept", DENSE, 1, n_ranked_layers=2)
    add_tokens(db, kept, request.param, KEPT, WORDS)
    return Filled(db, kept, add_run(db, "bare", DENSE, 2))


@pytest.fixture
def dense(made_dense: Filled, db: Database) -> Filled:
    return _copied(made_dense, db)


@pytest.fixture(scope="session", params=["rows", "parquet"])
def made_mixed(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Filled:
    db = Database(tmp_path_factory.mktemp("mixed") / "test.duckdb")
    kept = add_run(db, "kept", MIXED, 3)
    add_tokens(db, kept, request.param, KEPT_MIXED, WORDS)
    return Filled(db, kept, add_run(db, "bare", MIXED, 4))


@pytest.fixture
def mixed(made_mixed: Filled, db: Database) -> Filled:
    return _copied(made_mixed, db)
