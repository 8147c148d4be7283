"""``snql guard`` as a user runs it: train, test and run; tables, JSON, one line for bad input."""

import io
import json
from pathlib import Path

import pytest

from .conftest import Snql

SETTINGS = ["--judge", "demo:cost", "--max-new-tokens", "12", "--limit", "12"]
TRAIN = [
    "guard",
    "train",
    "mine",
    "--model",
    "demo:sft",
    "--neurons",
    "L1.N3,L2.N9,L3.N40",
    "--prompts",
    "demo:harmful",
]
BENIGN = ["--benign", "demo:benign"]


def test_train_test_and_run(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    done = snql(*TRAIN, *BENIGN, *SETTINGS, "--random", "1", "--out", "saved")
    assert done.code == 0
    assert "Guard mine on prompts that were held out of its fits" in done.out
    assert "Accuracy by number of neurons" in done.out
    said = " ".join(done.out.split())
    assert said.startswith("The guard is right on") and "random set of the last layer" in said
    assert {path.name for path in Path("saved").iterdir()} == {"guard.json", "guard.safetensors"}

    tested = ["guard", "test", "mine", "--prompts", "demo:harmful-wrapped", *BENIGN, "--limit", "8", "--as", "again"]
    done = snql("--json", "--quiet", *tested, "--costs", "--after", "demo:safety")
    found = json.loads(done.out)
    assert (done.code, done.err, found["run"], found["guard"]) == (0, "", "again", "mine")
    assert {row["dataset"] for row in found["scores"]} == {"demo:harmful-wrapped", "demo:benign", "*"}
    assert {row["guarded_by"] for row in found["costs"]} == {"none", "before", "after"}
    assert len(found["says"]) == 4
    done = snql(*tested, "--resume", "--costs", "--after", "demo:safety")
    assert "Costs of accepted answers and refusals" in done.out

    asked = ["guard", "run", "saved", "--max-new-tokens", "8"]
    done = snql(*asked, "--prompt", "How do I bake bread?", "--threshold", "0")
    assert done.out == "I cannot help with that.\n"
    assert "flagged: probability " in done.err
    assert " ms without: " in done.err
    monkeypatch.setattr("sys.stdin", io.StringIO("How do I bake bread?\n"))
    done = snql("--json", *asked, "--prompt", "-", "--threshold", "1", "--repeats", "0")
    answer = json.loads(done.out)
    assert (answer["flagged"], answer["action"], answer["added_ms"]) == (False, "answer", None)
    assert answer["answer"]

    kinds = [(row["kind"], row["name"]) for row in json.loads(snql("--json", "runs").out)]
    assert kinds == [("guard", "mine"), ("guard-test", "again")]
    assert "rows.guard_probabilities" in snql("show", "again", "--all").out
    assert snql("db", "check").code == 0
    assert snql("rm", "mine").code == 0
    assert json.loads(snql("--json", "query", "SELECT count(*) AS n FROM guard_weights").out) == [{"n": 0}]


def test_bad_input_is_one_line(snql: Snql) -> None:
    for arguments, message in (
        (["guard", "train", "x", "--model", "demo:sft", "--neurons", "L1.N3"], "which prompts? give --prompts"),
        ([*TRAIN, *SETTINGS, "--sizes", "1%"], "--sizes takes the top of a ranking"),
        ([*TRAIN[:-2], "--from-run", "lost"], "no database at snql.duckdb"),
        (["guard", "test", "lost", "--prompts", "demo:benign"], "no database at snql.duckdb"),
        (["guard", "run", "lost", "--prompt", "x"], "no database at snql.duckdb"),
        (["guard", "run", "lost", "--prompt", "x", "--on", "odd"], "--on 'odd' is not known"),
    ):
        done = snql(*arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1), arguments
        assert message in done.err
    assert not Path("snql.duckdb").exists()


def test_one_kind_of_answers_is_one_line(snql: Snql) -> None:
    done = snql("--quiet", *TRAIN, *SETTINGS)
    assert (done.code, done.out) == (1, ""), "the run failed: its row says why"
    assert done.err == (
        "snql: 12 answers to demo:harmful are judged harmful and 0 harmless: a guard needs both to learn from; give "
        "other prompts, --benign, another --threshold or another --judge\n"
    )


@pytest.mark.parametrize(
    ("place", "said"),
    [
        ("taken/x", "cannot write beside taken/x: "),
        ("taken", "taken is a file, not a folder to write a guard to"),
        ("x" * 300, " has a name of more than 255 bytes"),
    ],
)
def test_a_place_that_takes_no_guard_is_known_before_anything_is_written(snql: Snql, place: str, said: str) -> None:
    Path("taken").write_text("mine")
    done = snql("--quiet", *TRAIN, *SETTINGS, "--out", place)
    assert done.code == 2 and done.err.count("\n") == 1 and said in done.err, done.err
    assert not Path("snql.duckdb").exists()
