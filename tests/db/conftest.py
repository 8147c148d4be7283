"""Tests of creating, upgrading and reading databases start from a file that does not exist."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from snql.db.connection import Database


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "test.duckdb") as database:
        yield database
