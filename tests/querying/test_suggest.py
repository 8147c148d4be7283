"""What the shell offers to write next, and where its statements end."""

import pytest

from snql.db.connection import Database
from snql.querying.suggest import Names, complete, read_names, split

from ..synthetic import add_locate_run

NAMES = Names(
    tables={
        "neuron_scores": ("run", "layer", "neuron", "score", "rank"),
        "runs": ("run_id", "name", "status"),
        "odd table": ("a column", "rank"),
        "variants": ("run_id", "variant_id"),
    },
    macros=("overlap_at",),
    table_macros=("top_neurons",),
    runs=("helpful", "safety", "safety-seed2", "it's"),
)


def offered(script: str, kind: str | None = None) -> list[str]:
    """What is offered at the bar in the script."""
    position = script.index("|")
    found = complete(NAMES, script[:position] + script[position + 1 :], position)
    return [each.text for each in found if kind in (None, each.kind)]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("SELECT * FROM ne|", ["neuron_scores"]),
        ("SELECT * FROM |", ["neuron_scores", "runs", '"odd table"', "variants", "top_neurons("]),
        ("select 1 from runs join v|", ["variants"]),
        ("FROM to|", ["top_neurons("]),
        ("FROM od|", ['"odd table"']),
        ('FROM "od|', ['"odd table"']),
        ("FROM neuron_scores WHERE run = '|", ["helpful", "safety", "safety-seed2", "it''s"]),
        ("FROM neuron_scores WHERE run = 'saf|", ["safety", "safety-seed2"]),
        ("FROM neuron_scores WHERE run = 'SAF|'", ["safety", "safety-seed2"]),
        ("FROM top_neurons('it''|", ["it''s"]),
        ("FROM top_neurons('safety|', 3); FROM x", ["safety", "safety-seed2"]),
        ("SELECT s.| FROM neuron_scores AS s", ["run", "layer", "neuron", "score", "rank"]),
        ("SELECT v.var| FROM runs r JOIN variants v USING (run_id)", ["variant_id"]),
        ("SELECT variants.| FROM variants WHERE true", ["run_id", "variant_id"]),
        ('SELECT o.a| FROM "odd table" AS o', ['"a column"']),
        ("SELECT x.| FROM runs", []),
        ("SELECT 'a' |", []),
        ("SELECT 1 -- FROM ne|", []),
        ("SELECT |", []),
        ("|", []),
        ("SELECT 1; SELECT 2;|", []),
        (".|", [".help", ".mode", ".quit", ".runs", ".schema", ".tables"]),
        (".sc|", [".schema"]),
        (".schema n|", ["neuron_scores"]),
        (".schema ov|", ["overlap_at"]),
        (".mode c|", []),
        ("  .ta|", [".tables"]),
    ],
)
def test_what_is_offered(script: str, expected: list[str]) -> None:
    assert offered(script) == expected


def test_columns_of_the_tables_in_the_statement_come_first() -> None:
    """Also of tables named after the cursor, not of those of other statements."""
    assert offered("SELECT r| FROM neuron_scores") == [
        "run",
        "rank",
        "runs",
        "REPLACE",
        "round",
        "row_number",
        "run_id",
    ]
    assert offered("SELECT na| FROM runs") == ["name"]
    assert offered("SELECT ra| FROM runs; SELECT ra FROM neuron_scores")[0] == "rank"
    assert offered("SELECT run| FROM neuron_scores; FROM runs")[:2] == ["runs", "run_id"]
    assert offered("SELECT s| FROM neuron_scores WHERE run = 'x'")[0] == "score"
    assert "SELECT" in offered("sel|")
    assert offered("SELECT over|", "macro") == ["overlap_at("]


def test_a_suggestion_replaces_what_was_begun() -> None:
    for script in (
        "SELECT * FROM neur",
        "FROM x WHERE run = 'saf",
        'FROM "odd',
        ".schema ru",
        "SELECT s.sc FROM neuron_scores s",
    ):
        position = script.index(" FROM neuron_scores s") if "s.sc" in script else len(script)
        (best, *_) = complete(NAMES, script, position)
        begun = script[position - best.length : position]
        assert best.text.lower().startswith(begun.lower())
        assert not (script[position - best.length - 1].isalnum())


def test_the_names_is_the_databases(db: Database) -> None:
    import numpy as np

    add_locate_run(db, "found", np.ones((2, 3)))
    names = read_names(db)
    assert names.runs == ("found",)
    views = {name for (name,) in db.rows("SELECT view_name FROM duckdb_views() WHERE NOT internal")}
    tables = {name for (name,) in db.rows("SELECT table_name FROM duckdb_tables()")}
    assert set(names.tables) == views | tables
    assert names.tables["runs"] == tuple(db.frame("FROM runs").columns)
    assert names.tables["neuron_scores"] == tuple(db.frame("FROM neuron_scores").columns)
    assert {"top_neurons", "layer_histogram"} <= set(names.table_macros)
    assert "overlap_at" in names.macros


@pytest.mark.parametrize(
    ("script", "done", "rest"),
    [
        ("SELECT 1;", ["SELECT 1;"], ""),
        ("SELECT 1", [], "SELECT 1"),
        ("SELECT 1; SELECT\n2 ; x", ["SELECT 1;", "SELECT\n2 ;"], "x"),
        ("SELECT ';' AS a; ", ["SELECT ';' AS a;"], ""),
        ("SELECT 'it''s;", [], "SELECT 'it''s;"),
        ('SELECT 1 AS ";";', ['SELECT 1 AS ";";'], ""),
        ("SELECT 1 -- no; end\n;", ["SELECT 1 -- no; end\n;"], ""),
        ("SELECT 1; -- done;", ["SELECT 1;"], ""),
        ("/* a; */ SELECT 1;", ["SELECT 1;"], ""),
        ("SELECT $$a;b$$;", ["SELECT $$a;b$$;"], ""),
        (";;", [], ""),
        ("", [], ""),
        (".tables", [".tables"], ""),
        ("-- look;\n.tables\n.schema runs\nSELECT 1;\n.quit", [".tables", ".schema runs", "SELECT 1;", ".quit"], ""),
        ("SELECT 1\n.5;", ["SELECT 1\n.5;"], ""),
    ],
)
def test_where_statements_end(script: str, done: list[str], rest: str) -> None:
    assert split(script) == (done, rest)
