"""``snql doctor``: what it finds, and what it exits with."""

import json
from pathlib import Path

import pytest
import torch

from snql.models import checks, remembered
from snql.models.doctor import diagnose
from snql.models.options import LoadOptions

from ..cli.conftest import Snql, snql
from ..conftest import save_ia3

__all__ = ["snql"]
CPU = LoadOptions(device="cpu")


def test_a_sound_model(tiny_llama: Path, tiny_adapter: Path) -> None:
    found = diagnose(f"{tiny_llama}+{tiny_adapter}", CPU)
    facts = dict(found.facts.iter_rows())
    assert found.sound
    assert facts["neurons"] == "40 a layer, the input of mlp.down_proj"
    assert facts["adapters change the logits"] == "yes"
    checks = {name: (ok, words) for name, ok, words in found.checks.iter_rows()}
    assert checks["equals an independent load"][0]
    assert checks["equals an independent load"][1].startswith("logits differ by 0.0e+00 relative, 1e-05 is allowed (")
    assert facts["adapter tuned"] == "IA3, every tensor equals its file"


def test_an_adapter_that_does_nothing(tiny_llama: Path, tmp_path: Path) -> None:
    idle = save_ia3(tmp_path / "idle", [torch.ones(40)] * 3)
    facts = dict(diagnose(f"{tiny_llama}+{idle}", CPU).facts.iter_rows())
    assert facts["adapters change the logits"].startswith("no: they do nothing")


def test_the_command(snql: Snql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(remembered.FOLDER, str(tmp_path / "cache"))
    done = snql("doctor", "demo:sft")
    assert done.code == 0
    assert "neurons equal their formula" in done.out
    assert all(check["ok"] for check in json.loads(snql("--json", "doctor", "demo:sft").out))
    broken = checks.Check("reading changes nothing", False, "it does")
    monkeypatch.setattr(checks, "_by_hand", lambda *_: broken)
    assert snql("doctor", "demo:sft").code == 1
    refused = snql("locate", "x", "--before", "demo:sft", "--after", "demo:sft", "--prompts", "demo:harmful")
    assert refused.code == 2
    assert "model demo:sft cannot be used soundly: reading changes nothing: it does" in refused.err
    assert snql("doctor", "no/such/model/here").code == 2
