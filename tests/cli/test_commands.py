"""The commands on real (tiny) models, as a user runs them."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import pytest
from snql.cli.app import app

from snql.db.connection import Database

from ..conftest import ORACLE
from .conftest import Snql

PROMPTS = str(ORACLE / "prompts.jsonl")


def models(llama: Path, adapter: Path, *roles: str) -> list[str]:
    return [roles[0], str(llama), roles[1], f"{llama}+{adapter}"]


def locate(llama: Path, adapter: Path, name: str = "found") -> list[str]:
    settings = ["--prompts", PROMPTS, "--template", "tulu", "--max-new-tokens", "6"]
    return ["locate", name, *models(llama, adapter, "--before", "--after"), *settings]


def patch(llama: Path, adapter: Path, name: str = "moved") -> list[str]:
    settings = [
        "--prompts",
        PROMPTS,
        "--template",
        "tulu",
        "--max-new-tokens",
        "6",
        "--judge",
        "refusal",
        "--allow-overlap",
    ]
    return ["patch", name, *models(llama, adapter, "--recipient", "--donor"), *settings]


def test_locate_patch_overlap_and_look(snql: Snql, tiny_llama: Path, tiny_adapter: Path) -> None:
    done = snql(*locate(tiny_llama, tiny_adapter))
    assert done.code == 0
    assert "Top neurons of found" in done.out
    assert "12 prompts" in done.err
    assert snql(*locate(tiny_llama, tiny_adapter, "again")).code == 0

    done = snql(*patch(tiny_llama, tiny_adapter), "--neurons", "found", "--sweep", "5%,10%", "--random", "1")
    assert done.code == 0
    assert "Causal effects of moved" in done.out

    done = snql("--json", "overlap", "found", "again")
    (pair,) = json.loads(done.out)
    assert (pair["overlap"], pair["k"]) == (1.0, 4)

    names = [row["name"] for row in json.loads(snql("--json", "runs").out)]
    assert names == ["found", "again", "moved"]
    shown = {row["key"]: row["value"] for row in json.loads(snql("--json", "show", "moved").out)}
    assert shown["config.random"] == "1"
    assert shown["rows.completions"] == "72"
    assert "sha256" in shown["model.recipient"]
    assert snql("rm", "again").code == 0
    assert snql("show", "again").code == 2
    assert json.loads(snql("query", "--format", "json", "SELECT count(*) AS n FROM neuron_scores").out) == [{"n": 120}]


def test_sets_and_modes(snql: Snql, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path) -> None:
    assert snql(*locate(tiny_llama, tiny_adapter)).code == 0
    done = snql("sets", "save", "mine", "found:10% - found:2%")
    assert (done.code, done.out) == (0, "")
    assert "@mine: 6 neurons of 3x40" in done.err
    assert snql("sets", "save", "mine", "found:5%").code == 2
    assert snql("sets", "save", "mine", "found:10%", "--force").code == 0
    listed = json.loads(snql("--json", "sets").out)
    assert [(row["name"], row["n_neurons"], row["expression"]) for row in listed] == [("mine", 8, "found:10%")]
    assert "Saved neuron sets" in snql("sets").out
    members = json.loads(snql("--json", "sets", "show", "mine").out)
    assert len(members) == 8

    done = snql(*patch(tiny_llama, tiny_adapter), "--neurons", "@mine", "--random", "2", "--random-anywhere", "1")
    assert done.code == 0, done.err
    assert "score over controls" in done.out
    stored = snql("query", "--format", "json", "SELECT variant, n_neurons FROM causal_effects ORDER BY variant_id").out
    assert [(row["variant"], row["n_neurons"]) for row in json.loads(stored)] == [
        ("@mine", 8),
        ("random(@mine, seed=1)", 8),
        ("random(@mine, seed=2)", 8),
        ("random(@mine, seed=1, anywhere)", 8),
    ]
    assert snql("sets", "rm", "mine").code == 0
    assert json.loads(snql("--json", "sets").out) == []

    settings = [
        "--mode",
        "mean:found",
        "--window",
        "40%",
        "--steps",
        "completion",
        "--first",
        "3",
        "--temperature",
        "0.7",
        "--top-p",
        "0.9",
        "--samples",
        "2",
        "--no-trace",
        "--no-drafts",
        "--batch-size",
        "auto",
    ]
    without = patch(tiny_llama, tiny_adapter, "ablated")
    at = without.index("--donor")
    done = snql(*without[:at], *without[at + 2 :], "--neurons", "found", *settings)
    assert done.code == 0, done.err
    assert "no effects without a donor: read the change" in done.err
    with Database(tmp_path / "snql.duckdb") as db:
        config = json.loads(db.rows("SELECT config FROM runs WHERE name = 'ablated'")[0][0])
        names = db.rows("SELECT DISTINCT variant FROM run_completions WHERE run = 'ablated' ORDER BY 1")
    assert names == [("found:0%..40%",), ("found:40%..80%",), ("recipient",)]
    given = {
        "mode": "mean:found",
        "steps": "completion",
        "first": 3,
        "temperature": 0.7,
        "top_p": 0.9,
        "samples": 2,
        "trace": False,
        "drafts": False,
        "window": "40%",
        "donor": None,
        "freeze": False,
    }
    assert {key: config[key] for key in given} == given
    assert snql("report", "ablation", "--out", "figures", "--format", "svg").code == 0


@pytest.mark.parametrize("format_name", ["csv", "tsv", "json", "jsonl", "parquet", "markdown", "table"])
def test_query_formats(snql: Snql, tmp_path: Path, format_name: str) -> None:
    assert snql("db", "init").code == 0
    sql = "SELECT 1 AS a, 'x|y' AS b, [1, 2] AS c, '=1+1' AS d, chr(27) || '[31m' AS e"
    if format_name == "parquet":
        assert snql("query", sql, "--format", "parquet", "-o", "x.parquet").code == 0
        assert pl.read_parquet(tmp_path / "x.parquet").row(0)[:2] == (1, "x|y")
        return
    done = snql("query", sql, "--format", format_name)
    assert done.code == 0
    expected = {
        "csv": 'a,b,c,d,e\n1,x|y,"[1, 2]",\'=1+1,␛[31m\n',
        "tsv": "a\tb\tc\td\te\n1\tx|y\t[1, 2]\t'=1+1\t␛[31m\n",
        "json": '[\n  {\n    "a": 1,\n    "b": "x|y",',
        "jsonl": '{"a": 1, "b": "x|y", "c": [1, 2], "d": "=1+1", "e": "\\u001b[31m"}\n',
        "markdown": "| a | b | c | d | e |\n| ---: | --- | --- | --- | --- |\n| 1 | x\\|y | &#91;1, 2&#93; | =1+1 | ␛",
    }
    if format_name == "table":
        assert "␛[31m" in done.out
        assert "\x1b" not in done.out
    else:
        assert done.out.startswith(expected[format_name])


def test_query_from_a_file_and_standard_input_with_parameters(snql: Snql, tmp_path: Path) -> None:
    snql("db", "init")
    (tmp_path / "q.sql").write_text("SELECT 1; SELECT $n + 1 AS m, $s AS s")
    done = snql("query", "-f", "q.sql", "-p", "n=41", "-p", "s=a=b", "--format", "csv")
    assert done.out == "m,s\n42,a=b\n"
    program = [sys.executable, "-m", "snql", "query", "-", "--format", "csv"]
    piped = subprocess.run(program, cwd=tmp_path, input="SELECT 7 AS x", capture_output=True, text=True, check=True)
    assert piped.stdout == "x\n7\n"


def test_long_tables_say_that_they_are_cut(snql: Snql) -> None:
    snql("db", "init")
    done = snql("query", "SELECT * FROM range(250)")
    assert "showing 100 of 250 rows" in done.err


def test_options_from_a_file_and_the_environment(
    snql: Snql, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.toml").write_text(
        f"""
        db = "from-config.duckdb"
        [locate]
        before = "{tiny_llama}"
        after = "{tiny_llama}+{tiny_adapter}"
        prompts = "{PROMPTS}"
        max-new-tokens = 3
        template = "tulu"
        """
    )
    monkeypatch.setenv("SNQL_LOCATE_LIMIT", "4")
    assert snql("--config", "run.toml", "locate", "x", "--max-new-tokens", "2").code == 0
    with Database(tmp_path / "from-config.duckdb") as db:
        config = db.rows("SELECT config ->> 'limit', config ->> 'max_new_tokens', config ->> 'template' FROM runs")
    assert config == [("4", "2", "tulu")]


def test_version_and_help_of_every_command(snql: Snql) -> None:
    from typer.main import get_command

    from snql import __version__

    assert snql("--version").out == f"snql {__version__}\n"
    group = get_command(app)
    for name, command in group.commands.items():  # type: ignore[attr-defined]
        assert command.help, name
        done = snql(name, "--help")
        assert done.code == 0
        for parameter in command.params:
            assert getattr(parameter, "help", None), f"{name} {parameter.name}"


def test_help_and_query_start_without_model_libraries(tmp_path: Path) -> None:
    check = (
        "import sys; from snql.cli.app import run; code = run(sys.argv[1:]); "
        "heavy = {'torch', 'transformers', 'altair', 'scipy'} & set(sys.modules); "
        "assert not heavy, heavy; sys.exit(code)"
    )
    with Database(tmp_path / "x.duckdb") as db:
        db.initialise()
    for arguments in (
        ["query", "--help"],
        ["--db", str(tmp_path / "x.duckdb"), "query", "SELECT 1"],
        ["locate", "--help"],
    ):
        subprocess.run([sys.executable, "-c", check, *arguments], check=True, capture_output=True)
    light = "import sys, snql; assert not {'torch', 'polars', 'duckdb', 'typer'} & set(sys.modules), sys.modules.keys()"
    subprocess.run([sys.executable, "-c", light], check=True)


def test_interrupted_run_exits_130_and_resumes(tmp_path: Path, snql: Snql) -> None:
    arguments = ["locate", "x", "--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate"]
    arguments += ["--batch-size", "1", "--max-new-tokens", "8", "--keep", "none", "--limit", "60"]
    program = [sys.executable, "-m", "snql", *arguments]
    with subprocess.Popen(program, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        database = Database(tmp_path / "snql.duckdb")
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if database.path.exists() and database.rows("SELECT count(*) FROM completions") > [(3,)]:
                break
            database.close()
            time.sleep(0.5)
        database.close()
        os.kill(process.pid, signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "Traceback" not in err
    ((status, error),) = database.rows("SELECT status, error FROM runs")
    assert (status, error) == ("interrupted", "interrupted by the user")
    database.close()
    assert snql(*arguments[:8], "--batch-size", "50", *arguments[10:], "--resume").code == 0
    assert database.rows("SELECT status, error FROM runs") == [("done", None)]
    assert database.rows("SELECT count(*) FROM completions") == [(60,)]


def test_repeatable_options_take_a_line_each_from_the_environment(
    snql: Snql, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert snql(*locate(tiny_llama, tiny_adapter)).code == 0
    monkeypatch.setenv("SNQL_PATCH_NEURONS", "found:10% - found:5%\nfound:5%")
    done = snql("--json", *patch(tiny_llama, tiny_adapter), "--allow-overlap")
    assert done.code == 0, done.err
    assert {row["variant"] for row in json.loads(done.out)} == {"found:10% - found:5%", "found:5%"}
    assert "\\x" not in snql("query", "--format", "csv", "SELECT 'x'::BLOB AS b").out
