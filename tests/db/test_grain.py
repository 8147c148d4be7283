"""Each table's and view's key, on a database with something in every table."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from snql.db import documentation
from snql.db.connection import Database
from snql.db.documentation import ObjectDoc
from tests.db.filled import fill

KEYED = [document for document in documentation.documents() if document.key]


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    with Database(Path(tmp_path_factory.mktemp("db")) / "full.duckdb") as database:
        with database.write() as connection:
            fill(connection)
        with database.reading():
            yield database


def n_distinct(columns: Sequence[str]) -> str:
    """SQL for how many different rows these columns have; NULL is a value like others."""
    return f"count(DISTINCT row({', '.join(columns) or '1'}))"


@pytest.mark.parametrize("document", KEYED, ids=lambda document: document.name)
def test_no_two_rows_have_one_key_and_every_column_of_it_is_needed(full: Database, document: ObjectDoc) -> None:
    """The rows of this database could have broken each key."""
    needed = document.key if document.name not in ("adapters", "snql_objects") else ()
    without = [[other for other in document.key if other != column] for column in needed]
    counts = ", ".join(n_distinct(columns) for columns in (document.key, *without))
    ((n_rows, n_keys, *fewer),) = full.rows(f"SELECT count(*), {counts} FROM {document.name}")
    assert n_rows == n_keys > 0
    assert all(n < n_rows for n in fewer), dict(zip(needed, fewer, strict=True))


def test_every_view_and_table_has_a_key() -> None:
    assert {document.kind for document in documentation.documents() if not document.key} == {documentation.MACRO}
