"""``snql train`` as a user runs it: a plan, a short training, a spec that loads, and one line for bad input."""

import json
from pathlib import Path

import pytest

from .conftest import Snql

FEW = ["--limit", "12", "--held-out", "1", "--batch-size", "11", "--micro-batch", "11", "--device", "cpu"]


def test_a_plan_without_training(snql: Snql) -> None:
    done = snql("train", "sft", "out", "--base", "demo:base", "--data", "demo:sft", "--dry-run", *FEW)
    assert done.code == 0
    assert "mlp.down_proj" in done.out and "about 1.1" in done.out
    assert "5120 rows, 5108 not in the sample, 11 trained on, 1 held out" in done.err
    made = json.loads(
        snql("--json", "train", "sft", "out", "--base", "demo:base", "--data", "demo:sft", "--dry-run", *FEW).out
    )
    assert (made["plan"][0]["steps"], made["plan"][0]["batch"]) == (3, 11)
    assert not Path("out").exists()


def test_a_stage_trains_and_the_next_one_can_stand_on_it(snql: Snql, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trl", reason="trl is not installed (extra train)")
    monkeypatch.setenv("COLUMNS", "50")
    few = [*FEW, "--max-steps", "1"]
    only = ["--only", "L1.N3,L2.N9"]
    done = snql("train", "sft", "out/sft", "--base", "demo:base", "--data", "demo:sft", *few, *only)
    assert done.code == 0
    assert "2 of 2,304 neurons were trained; the entries of the other 2,302 were checked" in done.err
    heads = done.out.partition("┡")[0]
    assert all(head in heads for head in ("step", "loss", "accuracy")), heads
    assert "left out at this width: grad norm" in done.err
    assert "Training of demo:base+out/sft" in done.out and "1 examples that were held out" in done.out
    assert "load it as demo:base+out/sft" in done.err
    assert "{'loss'" not in done.out + done.err, "the trainer prints nothing of its own"
    done = snql(
        *("--json", "--quiet", "train", "sft", "out/sft", "--model", "demo:base", "--data", "demo:sft"),
        *(*few, *only, "--resume"),
    )
    parts = json.loads(done.out)
    assert [row["step"] for row in parts["history"]] == [1]
    assert {row["measure"] for row in parts["held_out"]} == {"loss", "token_accuracy"}
    stacked = ["train", "dpo", "out/sft", "--model", "demo:base+out/sft", "--data", "demo:safety", *few]
    done = snql(*stacked)
    assert (done.code, done.err.count("\n")) == (2, 1)
    assert "out/sft holds a training (done): name another folder, or use --force" in done.err
    done = snql("--json", *stacked, "--dry-run")
    assert json.loads(done.out)["plan"][0]["model"] == "demo:base+out/sft"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sft", "x", "--base", "demo:base", "--data", "demo:safety"], "no bundled data 'demo:safety' for sft"),
        (["sft", "x", "--base", "no/such/model", "--data", "demo:sft"], "no model folder no/such/model"),
        (["dpo", "x", "--model", "demo:sft", "--data", "demo:safety", "--dtype", "float16"], "--dtype 'float16'"),
        (["dpo", "x", "--model", "demo:sft", "--data", "demo:safety", "--beta", "0"], "--beta 0.0 is out of range"),
    ],
)
def test_bad_input_is_one_line(snql: Snql, arguments: list[str], message: str) -> None:
    done = snql("train", *arguments)
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert message in done.err
    assert not Path("x").exists()
