"""A dense model's runs in rows and in shards, and a mixture's."""

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


@pytest.fixture(params=["rows", "parquet"])
def dense(db: Database, request: pytest.FixtureRequest) -> Filled:
    kept = add_run(db, "kept", DENSE, 1, n_ranked_layers=2)
    add_tokens(db, kept, request.param, KEPT, WORDS)
    return Filled(db, kept, add_run(db, "bare", DENSE, 2))


@pytest.fixture(params=["rows", "parquet"])
def mixed(db: Database, request: pytest.FixtureRequest) -> Filled:
    kept = add_run(db, "kept", MIXED, 3)
    add_tokens(db, kept, request.param, KEPT_MIXED, WORDS)
    return Filled(db, kept, add_run(db, "bare", MIXED, 4))
