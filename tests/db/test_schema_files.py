"""Every SQL file's header against the database that the files make, and docs/schema.md against both."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from snql.db import documentation, schema_page, scripts
from snql.db.connection import Database
from snql.db.described import described
from snql.db.documentation import MACRO, TABLE, VIEW, ColumnDoc, ObjectDoc, parse
from snql.db.scripts import Script
from snql.errors import DatabaseError
from tests import ready_made

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("tables", "views", "macros") for path in (ROOT / "schema" / folder).glob("*.sql"))
QUERIES = {script.name: script.sql for script in scripts.read_folder("queries")}
GIVEN = {
    "chosen_neurons": "0::SMALLINT AS layer, 0::SMALLINT AS expert, 0::INTEGER AS neuron, 'a' AS lens_run",
    "mine": "0 AS prompt_id, 0 AS position, 0.0 AS before, 0.0 AS after, 0.0 AS change",
    "stored": "0 AS layer, 0 AS expert, 0 AS neuron, 0 AS token_index, 0.0 AS before, 0.0 AS after",
}
"""Frames and parts that Python adds to the queries that mention them."""
DOCUMENTS = {document.name: document for document in documentation.documents()}
HEADER = """\
-- Purpose: what
--          it is for.
-- Grain:   one row per run.
-- Key:     run, layer
-- Columns:
--   run -> runs.name: the run, said
--     at length
--   score [activation squared]: a score: high or low
-- Units:   none.
-- Caveats: none.
"""


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    database = Database(tmp_path_factory.mktemp("db") / "new.duckdb")
    with ready_made.from_scratch():
        database.initialise()
    with database.reading():
        yield database


def real_columns(db: Database, document: ObjectDoc) -> list[str]:
    """The columns as DuckDB gives them, of a macro those of its example."""
    if document.kind == MACRO and not document.columns:
        return []
    with db.reading() as connection:
        found = connection.execute(document.example or f"FROM {document.name}").description
    return [name for name, *_ in found or ()]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_holds_one_object_of_its_name(path: Path) -> None:
    code = re.sub(r"--[^\n]*\n", "", path.read_text("utf-8")).strip()
    begin = {"views": f"CREATE OR REPLACE VIEW {path.stem} AS\n", "macros": f"CREATE OR REPLACE MACRO {path.stem}("}
    if path.parent.name == "tables":
        assert code == ""
    else:
        assert code.startswith(begin[path.parent.name])
        assert code.count(";") == 1
    assert path.stem in DOCUMENTS
    assert max(map(len, path.read_text("utf-8").splitlines())) <= 120


@pytest.mark.parametrize(("name", "sql"), QUERIES.items(), ids=QUERIES)
def test_a_query_says_what_it_is_for_and_runs(new: Database, name: str, sql: str) -> None:
    assert re.match(r"-- Purpose: [A-Z][^\n]+[.:]\n(--   \S[^\n]*\n)*(SELECT|WITH|FROM)\b", sql), name
    assert max(map(len, sql.splitlines())) <= 120
    assert "?" not in sql
    assert not re.search(r"\$\d", sql), "parameters have names"
    given = ", ".join(f"{table} AS (SELECT {row})" for table, row in GIVEN.items())
    with new.reading() as connection:
        (statement,) = connection.extract_statements(f"WITH {given} FROM (\n{sql})")
        values = dict.fromkeys(statement.named_parameters)
        lists = {"runs", "ranked", "compared", "prompts", "positions", "variants", "roles", "judges"}
        numbers = {"limit": 1}
        connection.execute(
            statement.query,
            values
            | {key: [] for key in lists & values.keys()}
            | {key: value for key, value in numbers.items() if key in values},
        ).fetchall()


def _texts(path: Path) -> Iterator[str]:
    """All texts of a module that are no docstrings, those with values put in as well."""
    tree = ast.parse(path.read_text("utf-8"))
    said = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in said:
            yield node.value


def test_queries_stand_in_files() -> None:
    """And each of them is used: SQL of more than three lines that no file could hold is put together by Python."""
    put_together = {"neuron_pages/tokens.py", "db/integrity.py", "db/migrate.py"}
    modules = sorted((ROOT / "snql").rglob("*.py"))
    for path in modules:
        long = [
            text for text in _texts(path) if re.match(r"\s*(SELECT|WITH|FROM)\b", text) and text.strip().count("\n") > 2
        ]
        assert not long or str(path.relative_to(ROOT / "snql")) in put_together, path
    used = "".join(path.read_text("utf-8") for path in modules)
    assert [name for name in QUERIES if f'"{name}"' not in used and f"'{name}'" not in used] == []


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_header_describes_every_column_there_is(new: Database, document: ObjectDoc) -> None:
    assert [column.name for column in document.columns] == real_columns(new, document)
    assert set(document.key) <= {column.name for column in document.columns}
    for text in (document.purpose, document.grain, document.units, document.caveats):
        assert text is None or text.endswith(".")
    for column in (*document.columns, *document.parameters):
        assert not column.meaning.endswith(".")


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_references_lead_to_columns_that_there_are(document: ObjectDoc) -> None:
    for column in (*document.columns, *document.parameters):
        if column.refers_to:
            parent, wanted = column.refers_to.split(".")
            assert DOCUMENTS[parent].kind == TABLE
            assert wanted in {each.name for each in DOCUMENTS[parent].columns}


@pytest.mark.parametrize("document", DOCUMENTS.values(), ids=DOCUMENTS)
def test_a_macro_has_its_parameters_and_a_working_example(new: Database, document: ObjectDoc) -> None:
    found = new.rows("SELECT parameters FROM duckdb_functions() WHERE function_name = ?", [document.name])
    if document.kind != MACRO:
        assert found == []
        return
    assert [parameter.name for parameter in document.parameters] == found[0][0]
    assert str(document.example).startswith(f"FROM {document.name}(" if document.columns else "SELECT ")
    new.rows(str(document.example))


def test_every_table_is_described(new: Database) -> None:
    tables = {name for (name,) in new.rows("SELECT table_name FROM duckdb_tables() WHERE NOT internal")}
    assert {name for name, document in DOCUMENTS.items() if document.kind == TABLE} == tables


def test_descriptions_are_in_the_database(new: Database) -> None:
    """Any DuckDB program can show them."""
    found = new.rows("SELECT table_name, column_name, comment FROM duckdb_columns() WHERE NOT internal")
    commented = {(table, column): comment for table, column, comment in found}
    assert all(commented.values())
    with new.reading() as connection:
        for document in DOCUMENTS.values():
            function = {TABLE: "table", VIEW: "view"}.get(document.kind, "function")
            query = f"SELECT comment FROM duckdb_{function}s() WHERE {function}_name = ?"
            ((comment,),) = connection.execute(query, [document.name]).fetchall()
            assert comment.startswith(document.purpose)
            for column in document.columns if document.kind != MACRO else ():
                assert commented[document.name, column.name].startswith(column.meaning)
    assert commented["neuron_scores", "run"] == "the locate run -> runs.name"
    assert commented["prompt_sums", "squared_differences"].endswith(" [activation squared]")


def test_the_documented_schema_is_current() -> None:
    """Else run ``snql db schema --markdown -o docs/schema.md``."""
    assert (ROOT / "docs" / "schema.md").read_text("utf-8") == schema_page.markdown()


def test_the_page_has_the_types_of_the_database(new: Database) -> None:
    page = schema_page.markdown()
    for table, column, type_name in new.rows(
        "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal"
    ):
        section = page.split(f"\n### {table}\n")[1].split("\n### ")[0]
        assert f"\n| {column} | {type_name} | " in section


def test_the_diagram_has_every_table_and_reference() -> None:
    diagram = schema_page.mermaid()
    for document in DOCUMENTS.values():
        assert (f"    {document.name} {{\n" in diagram) == (document.kind == TABLE)
        for column in document.columns if document.kind == TABLE else ():
            if column.refers_to and column.name != "run_id":
                parent = column.refers_to.split(".")[0]
                assert re.search(rf"^    {parent} \|[|o]--o{{ {document.name} : {column.name}$", diagram, re.MULTILINE)
    assert "    neuron_sets |o--o{ variants : set_id\n" in diagram
    assert "    runs ||--o{ variants : run_id\n" in diagram
    assert "    runs ||--o{ completions : run_id\n" not in diagram  # by way of variants and prompts


def test_keys_that_are_enforced_are_those_described() -> None:
    declared = {each.name: (set(each.declared), set(each.document.key)) for each in described() if each.declared}
    assert {"runs", "variants", "completions", "judgements", "effects"} <= declared.keys()
    assert all(enforced == key for enforced, key in declared.values())
    assert "neuron_statistics" not in declared


def test_reading_a_header() -> None:
    found = parse(Script("x", HEADER + "CREATE OR REPLACE VIEW x AS SELECT 1;\n-- Purpose: not the header\n"), VIEW)
    assert found.purpose == "what it is for."
    assert found.key == ("run", "layer")
    assert found.columns == (
        ColumnDoc("run", "the run, said at length", None, "runs.name"),
        ColumnDoc("score", "a score: high or low", "activation squared", None),
    )
    assert found.columns[1].text == "a score: high or low [activation squared]"


@pytest.mark.parametrize("part", ["Purpose", "Grain", "Key", "Columns", "Units", "Caveats"])
def test_a_header_that_lacks_a_part(part: str) -> None:
    with pytest.raises(DatabaseError, match=f"header of x.sql lacks {part}"):
        parse(Script("x", re.sub(rf"-- {part}:.*\n(--  .*\n)*", "", HEADER)), VIEW)


@pytest.mark.parametrize(
    "line", ["--   score", "--   a b: c", "-- run: the run", "--   run [unit: the run", "--     more"]
)
def test_a_malformed_line_of_a_header(line: str) -> None:
    with pytest.raises(DatabaseError, match="header of x.sql has a malformed line"):
        parse(Script("x", HEADER.replace("-- Columns:\n", f"-- Columns:\n{line}\n")), VIEW)


def test_descriptions_may_hold_quotes(db: Database) -> None:
    with db.write() as connection:
        document = parse(Script("runs", HEADER.replace("what", "what's 'it'")), TABLE)
        text = documentation.comments([ObjectDoc(**{**vars(document), "columns": ()})])
        connection.execute(text)
    ((comment,),) = db.rows("SELECT comment FROM duckdb_tables() WHERE table_name = 'runs'")
    assert comment.startswith("what's 'it' it is for.\nGrain: one row per run.")


def test_tables_come_after_those_they_refer_to() -> None:
    names = [script.name for script in scripts.tables()]
    for name in names:
        parents = {str(column.refers_to).split(".")[0] for column in DOCUMENTS[name].columns if column.refers_to}
        assert all(names.index(parent) < names.index(name) for parent in parents - {name})
