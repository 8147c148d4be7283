"""The pages of the example database, and of one whose every text attacks, as a browser of one user asks for them."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from snql.db import Database
from snql.view.app import application
from snql.view.security import Door
from snql.view.site import Site

from ..reporting.conftest import database as database
from ..reporting.hostile import hostile_database

ADDRESS = "http://127.0.0.1:8000"


def client(path: Path, door: Door | None = None) -> TestClient:
    """A browser that has opened the first address."""
    behind = door or Door(port=8000)
    found = TestClient(application(Site(path), behind), base_url=ADDRESS)
    assert found.get(f"/?token={behind.token}").status_code == 200
    return found


@pytest.fixture(scope="session")
def user(database: Database) -> TestClient:
    """Pages of the example database."""
    return client(database.path)


@pytest.fixture(scope="session")
def attacked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    """Pages of the database whose every text attacks."""
    with hostile_database(tmp_path_factory.mktemp("hostile") / "x.duckdb") as made:
        yield client(made.path)
