"""Every foreseen mistake is one line that names value, cause and remedy; exit code 2; nothing half-written."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pytest

from snql.db.connection import Database

from ..conftest import ORACLE
from ..synthetic import add_locate_run
from .conftest import Snql

SETS = ["--prompts", "demo:harmful", "--limit", "2", "--max-new-tokens", "2"]
LOCATE = ["locate", "x", "--before", "demo:sft", "--after", "demo:safety", *SETS]
PATCH = ["patch", "x", "--recipient", "demo:sft", "--donor", "demo:safety", "--judge", "refusal", *SETS]


@dataclass(frozen=True)
class Prepared:
    """A folder, and what its database holds: to be compared by rows where the bytes differ."""

    folder: Path
    database: bytes
    rows: list[object]


def instead(arguments: list[str], option: str, value: str) -> list[str]:
    """The arguments with another value of one option."""
    at = arguments.index(option)
    return [*arguments[: at + 1], value, *arguments[at + 2 :]]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (instead(LOCATE, "--before", "no/such/model"), "no model folder no/such/model: check the path"),
        (instead(LOCATE, "--before", "demo:sftt"), "no bundled model 'demo:sftt': the bundled models are demo:base"),
        (instead(LOCATE, "--after", "demo:base+./missing"), "no adapter folder ./missing: check the path"),
        (instead(LOCATE, "--after", f"demo:base+{ORACLE / 'sft'}"), "has width 176 at model.layers.0.mlp.down_proj"),
        (instead(LOCATE, "--after", str(ORACLE / "model")), "the tokenizers of before (demo:sft) and after"),
        (instead(LOCATE, "--prompts", "none.jsonl"), "no prompt file none.jsonl: check the path"),
        (instead(LOCATE, "--prompts", "empty.jsonl"), "prompt file empty.jsonl holds no prompts"),
        (instead(LOCATE, "--prompts", "other.csv"), "has no known prompt column: its columns are text"),
        ([*LOCATE, "--prompt-column", "goal"], "has no column 'goal'"),
        (
            instead(LOCATE, "--prompts", "latin.txt"),
            "prompt file latin.txt is not UTF-8 text (byte 3): convert it first",
        ),
        (instead(LOCATE, "--prompts", "same.txt"), "all 3 prompts of same.txt are duplicates of one another"),
        ([*instead(LOCATE, "--prompts", "few.txt"), "--prompts", "again.txt"], "all 2 prompts of again.txt are duplic"),
        (instead(LOCATE, "--prompts", "long.txt"), "with 2 new ones it is longer than the model's context of"),
        (instead(LOCATE, "--prompts", "hub:"), "prompt set 'hub:' is malformed: write hub:OWNER/NAME:SPLIT"),
        ([*LOCATE, "--where", "category ="], "--where 'category =' fails on prompt file demo:harmful: Parser Error"),
        ([*LOCATE, "--where", "category = 'x'"], "--where leaves no prompt of demo:harmful: it chose 0 of"),
        ([*LOCATE, "--sample", "0"], "--sample 0: at least one prompt is needed"),
        ([*LOCATE, "--disjoint-from", "lost"], "--disjoint-from lost: no such run in snql.duckdb"),
        ([*LOCATE, "--template", "none.jinja"], "--template none.jinja cannot be read"),
        ([*LOCATE, "--template", "bad.jinja"], "--template: the chat template fails on prompt"),
        (
            [*LOCATE, "--template", "deaf.jinja", "--system", "Be kind."],
            "--system: the chat template leaves the system",
        ),
        (["prompts"], "Missing argument 'FILE…'"),
        (["prompts", "empty.jsonl"], "prompt file empty.jsonl holds no prompts"),
        (["prompts", "few.txt", "--system", "x"], "--template, --system and --response-prefix need --model"),
        (["prompts", "few.txt", "--model", "demo:none"], "no bundled model 'demo:none'"),
        (["prompts", "few.txt", "--model", "."], "model . has no tokenizer that loads"),
        (["show", "lost", "--prompts"], "no run 'lost'"),
        ([*LOCATE, "--positions", "all"], "--positions 'all' is not known: use generating"),
        ([*LOCATE, "--keep", "5%%"], "neuron expression '5%%', column 1"),
        ([*LOCATE, "--template", "alpaca"], "--template 'alpaca' is not known"),
        ([*LOCATE, "--dtype", "int4"], "--dtype 'int4' is not known"),
        ([*LOCATE, "--batch-size", "0"], "--batch-size and --max-new-tokens must be at least 1"),
        ([*LOCATE, "--seed", "-1"], "--seed -1 is out of range"),
        ([*PATCH, "--neurons", "all", "--seed", "99999999999999999999"], "--seed 99999999999999999999 is out of range"),
        (["query", "--format", "csv", "SELECT INTERVAL 1 DAY"], "cast it, such as x::VARCHAR"),
        (
            ["--config", "typo.toml", "runs"],
            "[locate] max-new-tokenz is no option; those here are after, after_dtype, attn",
        ),
        (["--config", "flat.toml", "runs"], "locate is no option; those here are"),
        ([*LOCATE, "--limit", "x"], "Invalid value for '--limit'"),
        (["locate", "5%", *LOCATE[2:]], "run name '5%' cannot be used"),
        (["locate", "all", *LOCATE[2:]], "run name 'all' cannot be used"),
        (["locate", "x"], "which models? give --before and --after"),
        (["locate", "taken", *LOCATE[2:]], "a locate run 'taken' exists (done): choose another name"),
        ([*PATCH, "--neurons", "lost:5%"], "no finished locate run 'lost' in snql.duckdb: its runs are taken"),
        ([*PATCH, "--neurons", "taken:5% &"], "neuron expression 'taken:5% &', column 11"),
        ([*PATCH, "--neurons", "taken:5%"], "run 'taken' is of a model with 2x3 neurons, this one has 9x256"),
        ([*PATCH, "--neurons", "taken:100%", "--random", "1"], "no disjoint random set: the set has 6 of 6 neurons"),
        ([*PATCH, "--neurons", "all", "--random", "1"], "no disjoint random set: the set has 2304 of 2304 neurons"),
        ([*instead(PATCH, "--judge", "jury"), "--neurons", "all"], "no judge 'jury': judges are refusal"),
        ([*PATCH, "--neurons", "@lost"], "no saved set 'lost' in snql.duckdb: none is saved"),
        ([*PATCH, "--neurons", "taken", "--sweep", "1..x"], "--sweep size '1..x' is not known"),
        ([*PATCH, "--neurons", "taken", "--window", "x"], "--window 'x' is not known"),
        ([*PATCH, "--neurons", "lost", "--window", "5"], "no finished locate run 'lost'"),
        ([*PATCH, "--neurons", "all", "--window", "5%"], "--window needs the plain name of a locate run in --neurons"),
        (
            [*PATCH, "--neurons", "all", "--mode", "erase"],
            "--mode 'erase' is not known: use donor, donor-weights, both",
        ),
        ([*PATCH, "--neurons", "all", "--mode", "mean:lost"], "no finished locate run 'lost'"),
        ([*PATCH, "--neurons", "all", "--steps", "some"], "--steps 'some' is not known"),
        ([*PATCH, "--neurons", "all", "--first", "0"], "--first 0 is for tokens of the completion"),
        ([*PATCH, "--neurons", "all", "--samples", "2"], "--samples 2 would all be the same"),
        ([*PATCH, "--neurons", "all", "--temperature", "-1"], "--temperature -1.0 is out of range"),
        ([*PATCH, "--neurons", "all", "--top-p", "2"], "--top-p 2.0 is out of range"),
        ([*PATCH, "--neurons", "all", "--freeze", "--mode", "zero"], "--freeze is about the donor's activations"),
        ([*PATCH[:4], *PATCH[6:], "--neurons", "all"], "--mode donor needs a donor: give --donor"),
        (["sets", "save", "x", "lost:5%"], "no finished locate run 'lost'"),
        (["sets", "save", "all", "taken:1"], "set name 'all' cannot be used"),
        (["sets", "save", "x", "L0.N1"], "of which model is 'L0.N1'? name a locate run of it with --like RUN"),
        (["sets", "save", "x", "L0.N9", "--like", "taken"], "the model has 2x3 neurons"),
        (["sets", "show", "lost"], "no saved set 'lost' in snql.duckdb: none is saved; see `snql sets save`"),
        (["sets", "rm", "lost"], "no saved set 'lost'"),
        (["--db", "none.duckdb", "sets"], "no database at none.duckdb"),
        (["--db", "none.duckdb", "sets", "save", "x", "@y"], "no saved set 'y' in none.duckdb"),
        (["overlap", "taken", "lost"], "no finished locate run 'lost'"),
        (["overlap", "taken"], "an overlap needs at least two different runs"),
        (["show", "lost"], "no run 'lost' in snql.duckdb: `snql runs` lists those it has"),
        (["rm", "lost"], "no run 'lost'"),
        (["query", "SELECT nothing FROM runs"], 'the query fails: Binder Error: Referenced column "nothing"'),
        (["query", "DELETE FROM runs"], "the query fails: Invalid Input Error: Cannot execute statement of type"),
        (["query", "SELECT * FROM read_csv('/etc/hosts')"], "file system operations are disabled"),
        (["query", "SELECT 1", "--format", "xml"], "--format 'xml' is not known: use table, csv"),
        (["query", "SELECT 1", "-o", "x.txt"], "--output needs a --format other than table"),
        (["query", "SELECT 1", "--format", "csv", "-o", "no/x.csv"], "--output no/x.csv cannot be written"),
        (["query"], "one query is needed"),
        (["query", " "], "the query is empty"),
        (["query", "SELECT INTERVAL '99999999 years'"], "is out of Python's range"),
        (["query", "-f", "none.sql"], "--file none.sql cannot be read"),
        (["query", "SELECT $x", "-p", "x"], "--param 'x' is malformed: write NAME=VALUE"),
        (["--config", "none.toml", "runs"], "--config none.toml cannot be read"),
        (["--config", "bad.toml", "runs"], "--config bad.toml is not TOML"),
        (["--db", "none.duckdb", "runs"], "no database at none.duckdb: run `snql demo`"),
        (["--db", "text.duckdb", "runs"], "text.duckdb is not a DuckDB database"),
        (["--db", "text.duckdb", *LOCATE], "text.duckdb is not a DuckDB database"),
        (["--db", "theirs.duckdb", "runs"], "not one of snql's: name another file with --db"),
        (["--db", "theirs.duckdb", *LOCATE], "not one of snql's: name another file with --db"),
        (["--db", "newer.duckdb", "runs"], "newer than this snql's"),
        (["--db", "newer.duckdb", *LOCATE], "newer than this snql's"),
        (["--db", "no/folder.duckdb", *LOCATE], "no folder no to hold the database folder.duckdb"),
        (["report", "nonsense"], "unknown figure 'nonsense'"),
        (["frobnicate"], "No such command 'frobnicate'"),
    ],
)
def test_one_line_and_exit_code_2(
    snql: Snql, tmp_path: Path, prepared: Prepared, arguments: list[str], message: str
) -> None:
    shutil.copytree(prepared.folder, tmp_path, dirs_exist_ok=True)
    done = snql("-q", *arguments)
    lines = done.err.splitlines()
    assert done.code == 2, done.err
    assert done.out == ""
    assert len(lines) == 1, done.err
    assert lines[0].startswith("snql: ")
    assert message in lines[0]
    assert names(tmp_path) == names(prepared.folder)
    if (tmp_path / "snql.duckdb").read_bytes() != prepared.database:
        assert rows(tmp_path) == prepared.rows


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """A folder with a database of one made-up run, and files that are wrong in various ways."""
    folder = tmp_path_factory.mktemp("prepared")
    with Database(folder / "snql.duckdb") as db:
        add_locate_run(db, "taken", np.arange(6.0).reshape(2, 3))
    (folder / "empty.jsonl").write_text("")
    (folder / "other.csv").write_text("text\nhello\n")
    (folder / "latin.txt").write_bytes(b"caf\xe9\n")
    (folder / "same.txt").write_text("one\none\none\n")
    (folder / "few.txt").write_text("one\ntwo\n")
    (folder / "again.txt").write_text("two\none\n")
    (folder / "long.txt").write_text("bread " * 5000 + "\n")
    (folder / "bad.jinja").write_text("{{ raise_exception('no') }}")
    (folder / "deaf.jinja").write_text("{{ messages[-1].content }}")
    (folder / "bad.toml").write_text("= 3")
    (folder / "typo.toml").write_text("[locate]\nmax-new-tokenz = 2\n")
    (folder / "flat.toml").write_text("locate = 3\n")
    (folder / "text.duckdb").write_text("hello " * 1000)
    with duckdb.connect(str(folder / "theirs.duckdb")) as theirs:
        theirs.execute("CREATE TABLE theirs (x INTEGER)")
    with Database(folder / "newer.duckdb") as db:
        db.initialise()
    with duckdb.connect(str(folder / "newer.duckdb")) as newer:
        newer.execute("INSERT INTO snql_migrations VALUES (9999, '9999_later', 'x', now()::TIMESTAMP)")
    return Prepared(folder, (folder / "snql.duckdb").read_bytes(), rows(folder))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def rows(folder: Path) -> list[object]:
    """All rows of runs in snql.duckdb, and how many models it has."""
    with Database(folder / "snql.duckdb") as db, db.reading():
        return [*db.rows("SELECT run_id, name, status FROM runs ORDER BY 1"), *db.rows("SELECT count(*) FROM models")]
