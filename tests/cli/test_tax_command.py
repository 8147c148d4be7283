"""``snql tax`` as a user runs it: tables, JSON, files, and one line for bad input."""

import json
from pathlib import Path

from .conftest import Snql

MODELS = ["--safety-model", "demo:safety", "--helpful-model", "demo:helpful"]
READING = ["--prompts", "demo:harmful", "--limit", "4", "--max-new-tokens", "8"]


def test_both_directions_in_one_command(snql: Snql) -> None:
    for name in ("safety", "helpful"):
        settings = ["--prompts", "demo:locate", "--limit", "4", "--max-new-tokens", "8", "--skip-last-layers", "0"]
        done = snql("locate", name, "--before", "demo:sft", "--after", f"demo:{name}", *settings, "--keep", "none")
        assert done.code == 0
    experiment = ["tax", "t", "--safety", "safety", "--helpful", "helpful", *MODELS, *READING, "--top", "20%"]
    done = snql(*experiment, "--judge", "demo:cost", "--judge", "python:m:f")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert "may be a cost or a reward" in done.err
    judges = ["--judge", "demo:cost", "--judge", "demo:reward", "--random", "1"]
    done = snql(*experiment, *judges, "--out", "made")
    assert done.code == 0
    assert "Alignment tax t: safety:20% & helpful:20%" in done.out
    assert "helpful into safety: demo:cost on demo:harmful" in " ".join(done.out.split())
    assert Path("made/tax.svg").is_file() and Path("made/table-controls.csv").is_file()
    made = Path("made/table-tax.md").read_text("utf-8")
    assert "Both directions were run: t-helpful-into-safety and t-safety-into-helpful." in made
    done = snql(*experiment, *judges)
    assert (done.code, done.err.count("\n")) == (2, 1)
    parts = json.loads(snql("--json", "--quiet", *experiment, *judges, "--resume").out)
    assert set(parts) == {"changes", "ratios", "overlap"}
    assert [row["donor_is"] for row in parts["ratios"]] == ["helpful", "safety"]
