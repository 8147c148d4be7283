"""``snql perplexity``, ``divergence`` and ``lm-eval`` as a user runs them: tables, JSON, one line for bad input."""

import json
from pathlib import Path

from ..conftest import ORACLE
from .conftest import Snql

PROMPTS = str(ORACLE / "prompts.jsonl")


def patched(llama: Path, adapter: Path) -> list[str]:
    pair = ["--recipient", str(llama), "--donor", f"{llama}+{adapter}"]
    settings = ["--prompts", PROMPTS, "--limit", "4", "--template", "tulu", "--max-new-tokens", "4"]
    return ["patch", "moved", *pair, *settings, "--neurons", "L1.N3,L1.N9", "--random", "1", "--judge", "refusal"]


def test_a_screen_beside_the_effect_and_a_perplexity(snql: Snql, tiny_llama: Path, tiny_adapter: Path) -> None:
    assert snql(*patched(tiny_llama, tiny_adapter)).code == 0
    done = snql("divergence", "moved")
    assert done.code == 0
    assert "Divergence from the donor in moved" in done.out
    assert "refusal" in done.out
    first = done.out.partition("Divergence from the donor")[0]
    assert "of the divergence from the donor" in " ".join(first.split()), "what was found stands first"
    again = snql("judge", "moved", "--judge", "refusal:zou2023")
    assert again.out.startswith("By ") and again.out.index("By refusal:zou2023") < again.out.index("Scores of moved")
    done = snql("--json", "divergence", "moved", "--resume")
    rows = json.loads(done.out)
    assert {row["variant"] for row in rows} == {"L1.N3,L1.N9", "random(L1.N3,L1.N9, seed=1)"}
    done = snql("divergence", "moved")
    assert (done.code, done.out) == (2, "")
    assert "a divergence run 'moved-divergence' exists (done): choose another name, or" in done.err

    Path("words.txt").write_text("Some words to read, and then some more.\n")
    settings = ["--text", "words.txt", "--window", "16", "--stride", "8"]
    done = snql("perplexity", "read", "--model", str(tiny_llama), *settings)
    assert done.code == 0
    assert "Perplexity of read" in done.out
    done = snql(
        "--json",
        "--quiet",
        "perplexity",
        "zeroed",
        "--model",
        str(tiny_llama),
        *settings,
        "--neurons",
        "L0.N1",
        "--mode",
        "zero",
    )
    assert [row["variant"] for row in json.loads(done.out)] == ["recipient", "L0.N1"]
    assert done.err == ""
    done = snql(
        "perplexity",
        "zeroed",
        "--model",
        str(tiny_llama),
        *settings,
        "--neurons",
        "L0.N1",
        "--mode",
        "zero",
        "--resume",
    )
    assert done.out.startswith("L0.N1: perplexity ")

    done = snql("--json", "runs")
    assert [(row["kind"], row["name"]) for row in json.loads(done.out)] == [
        ("patch", "moved"),
        ("divergence", "moved-divergence"),
        ("perplexity", "read"),
        ("perplexity", "zeroed"),
    ]
    done = snql("show", "zeroed", "--all")
    assert "config.stride" in done.out
    assert "rows.text_windows" in done.out
    assert "moved-divergence" in snql("show", "moved-divergence").out
    assert snql("show", "moved").code == 0, "the run that it reads keeps its name"
    assert snql("--quiet", "perplexity", "moved", "--model", str(tiny_llama), *settings).code == 0
    done = snql("show", "moved")
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "say which with --kind" in done.err
    assert snql("rm", "read").code == 0
    assert snql("rm", "moved-divergence").code == 0
    assert json.loads(snql("--json", "query", "SELECT count(*) AS n FROM divergences").out) == [{"n": 0}]
    assert snql("db", "check").code == 0


def test_bad_input_is_one_line(snql: Snql, tiny_llama: Path) -> None:
    Path("empty.txt").touch()
    model = ["--model", str(tiny_llama)]
    for arguments, message in (
        (["perplexity", "x", "--text", "empty.txt", *model], "text empty.txt is empty"),
        (["perplexity", "x", "--text", "empty.txt", *model, "--mode", "odd"], "--mode 'odd' is not known"),
        (["divergence", "x"], "no patch or locate run 'x'"),
        (["lm-eval", "x", "--tasks", " , ", *model], "which tasks? give --tasks"),
    ):
        done = snql(*arguments)
        assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
        assert message in done.err
    assert not Path("snql.duckdb").exists()
