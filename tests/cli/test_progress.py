"""Progress in plain lines, and what is told of pace."""

import io

import pytest
from rich.console import Console
from snql.cli import progress as module

from snql.db.connection import Database
from snql.progress import Progress

from .conftest import Snql


def test_plain_lines_tell_tokens_time_and_memory(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    show = module._Lines()
    show(Progress("contrast", 100, 400, "prompts", None, 1_500_000_000))  # a run that goes on from 100
    for seconds, done, tokens in ((1, 110, 500), (10, 150, 5_000), (60, 400, 30_000)):
        now[0] = 100.0 + seconds
        show(Progress("contrast", done, 400, "prompts", tokens, 1_500_000_000))
    show(Progress("", 0, 0, "", message="stopping after this batch"))
    now[0] = 200.0
    show(Progress("store", 0, 3, "chunks"))
    assert capsys.readouterr().err.splitlines() == [
        "contrast: 100/400 prompts, 1.5 GB",
        "contrast: 150/400 prompts, 5,000 tokens (500/s), 1.5 GB, 0:00:50 left",
        "contrast: 400/400 prompts, 30,000 tokens (500/s), 1.5 GB",
        "stopping after this batch",
        "store: 0/3 chunks",
    ]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_bars_cut_no_number(monkeypatch: pytest.MonkeyPatch, width: int) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    bars = module._bars()
    show = module._Bars(bars)
    for stage, unit in (("patch", "completions"), ("margins", "texts")):
        show(Progress(stage, 0, 12_800, unit, None, 4_200_000_000))
        now[0] += 100
        show(Progress(stage, 7_800, 12_800, unit, 399_000, 4_200_000_000))
    console = Console(width=width, file=io.StringIO())
    console.print(bars.get_renderable())
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "\u2026" not in shown
    assert shown.count("7800/12800") == shown.count("399,000 tokens (3,990/s) 4.2 GB") == 2


def test_check_says_what_is_not_sound_and_exits_1(snql: Snql) -> None:
    arguments = ["locate", "x", "--before", "demo:sft", "--after", "demo:safety", "--prompts", "demo:locate"]
    assert snql(*arguments, "--limit", "5", "--max-new-tokens", "3").code == 0
    done = snql("db", "check")
    assert (done.code, done.out) == (0, "")
    assert "snql.duckdb is sound" in done.err
    with Database("snql.duckdb").write() as connection:
        connection.execute("UPDATE neuron_statistics SET mean_after = mean_after + 1e-12 WHERE rank = 7")
    done = snql("--json", "db", "check")
    assert done.code == 1
    assert '"what": "neuron statistics are not those that the run wrote"' in done.out
    assert snql("runs").out.count("done") == 1
