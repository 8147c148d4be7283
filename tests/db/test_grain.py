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


def n_distinct(db: Database, name: str, columns: Sequence[str]) -> int:
    ((number,),) = db.rows(f"SELECT count(*) FROM (SELECT DISTINCT {', '.join(columns) or '1'} FROM {name})")
    return int(number)


@pytest.mark.parametrize("document", KEYED, ids=lambda document: document.name)
def test_no_two_rows_have_one_key(full: Database, document: ObjectDoc) -> None:
    ((n_rows,),) = full.rows(f"SELECT count(*) FROM {document.name}")
    assert n_rows > 0
    assert n_distinct(full, document.name, document.key) == n_rows


@pytest.mark.parametrize("document", KEYED, ids=lambda document: document.name)
def test_every_column_of_a_key_is_needed(full: Database, document: ObjectDoc) -> None:
    """So the rows of this database could have broken each key."""
    ((n_rows,),) = full.rows(f"SELECT count(*) FROM {document.name}")
    for column in document.key if document.name not in ("adapters", "snql_objects") else ():
        others = [name for name in document.key if name != column]
        assert n_distinct(full, document.name, others) < n_rows, column


def test_every_view_and_table_has_a_key() -> None:
    assert {document.kind for document in documentation.documents() if not document.key} == {documentation.MACRO}
