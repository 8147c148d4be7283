"""``snql db schema``."""

import json
import re
from pathlib import Path

from snql.db import schema_page
from tests.cli.conftest import Snql


def test_a_list_of_all_objects(snql: Snql) -> None:
    done = snql("db", "schema")
    assert done.code == 0
    for line in ("Views to build on", "neuron_scores", "top_neurons(run_name, k)", "activation_rows", "figure_layers"):
        assert line in done.out
    assert "`snql db schema NAME` shows the columns" in done.err
    assert not list(Path().iterdir())  # no database is needed, and none is made


def test_one_object(snql: Snql) -> None:
    done = snql("db", "schema", "neuron_scores", "overlap_at")
    assert "view neuron_scores: scores and statistics" in done.out
    assert "  Key: run, layer, expert, neuron\n" in done.out
    assert re.search(r"mean_before +│ DOUBLE +│ activation +│ mean under the model before", done.out)
    assert "the locate run -> runs.name" in done.out
    assert "macro overlap_at(run_a, run_b, k): share" in done.out
    assert "SELECT overlap_at('safety', 'helpful', 100)" in done.out


def test_as_json(snql: Snql) -> None:
    rows = json.loads(snql("--json", "db", "schema", "variants").out)
    assert rows[5] == {
        "object": "variants",
        "kind": "table",
        "column": "set_id",
        "type": "INTEGER",
        "key": None,
        "unit": None,
        "meaning": "the patched neurons; NULL for unpatched models",
        "refers_to": "neuron_sets.set_id",
    }
    everything = json.loads(snql("--json", "db", "schema").out)
    assert len({row["object"] for row in everything}) > 40


def test_the_page_and_the_diagram(snql: Snql) -> None:
    assert snql("db", "schema", "--markdown").out == schema_page.markdown()
    assert snql("db", "schema", "--diagram").out == schema_page.mermaid()
    for name, text in (("d.mmd", schema_page.mermaid()), ("d.md", f"```mermaid\n{schema_page.mermaid()}```\n")):
        assert snql("db", "schema", "--diagram", "-o", name).code == 0
        assert Path(name).read_text("utf-8") == text


def test_bad_input(snql: Snql) -> None:
    for arguments, reason in (
        (["neuron_score"], "no table, view or macro 'neuron_score': did you mean neuron_scores"),
        (["\x1b[31mzzz"], "`snql db schema` lists them all"),
        (["--diagram", "--markdown"], "--markdown and --diagram exclude each other"),
        (["--diagram", "-o", "d.png"], "a diagram cannot be written as .png: name a "),
        (["--diagram", "-o", "missing/d.mmd"], "--output missing/d.mmd cannot be written"),
        (["--diagram", "runs"], "--diagram is of all objects: leave out runs"),
        (["runs", "-o", "x.txt"], "--output x.txt needs --markdown or --diagram"),
    ):
        done = snql("db", "schema", *arguments)
        assert (done.code, done.out) == (2, "")
        assert reason in done.err
        assert done.err.count("\n") == 1
        assert "\x1b" not in done.err
