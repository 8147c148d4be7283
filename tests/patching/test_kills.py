"""Patch runs that are killed or interrupted, and go on."""

import os
import signal
from pathlib import Path

import pytest

from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.progress import Progress
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE
from ..killing import Ask

PROMPTS = str(ORACLE / "prompts.jsonl")
WRITTEN = """
    SELECT variant_id, prompt_id, sample, text, token_ids, finish_reason, donor_ids, unpatched_ids
    FROM run_completions WHERE run = ? AND kind = 'patch' ORDER BY ALL
"""


@pytest.mark.parametrize(
    ("seed", "n_kills"), [(0, 1), pytest.param(1, 20, marks=pytest.mark.slow("more moments of the same kinds"))]
)
def test_kills_change_nothing(
    db: Database, ask: Ask, tiny_llama: Path, tiny_adapter: Path, seed: int, n_kills: int
) -> None:
    db.initialise()
    models = [str(tiny_llama), f"{tiny_llama}+{tiny_adapter}"]
    told = ask("killed", str(db.path), models, PROMPTS, "patch", seed, n_kills)
    assert len(told["hits"]) == n_kills
    effects = "SELECT * EXCLUDE (run, run_id) FROM causal_effects WHERE run = ? ORDER BY variant_id"
    whole = db.frame(WRITTEN, ["whole"]), db.frame(effects, ["whole"])
    assert (len(whole[0]), len(whole[1])) == (48, 6)
    for index in range(told["runs"]):
        assert db.frame(WRITTEN, [f"cut{index}"]).equals(whole[0]), told
        assert db.frame(effects, [f"cut{index}"]).equals(whole[1]), told


@pytest.mark.usefixtures("lingering")
def test_ctrl_c_keeps_what_is_finished(
    db: Database, tiny_llama: Path, tiny_adapter: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("snql.jobs.work.COMMIT_SECONDS", 0.0)
    reports: list[Progress] = []

    def press(report: Progress) -> None:
        reports.append(report)
        if report.stage == "patch" and report.done > 0 and "stopping" not in str([each.message for each in reports]):
            os.kill(os.getpid(), signal.SIGINT)

    source = PromptOptions((PROMPTS,), template="tulu")
    options = PatchOptions(
        recipient=str(tiny_llama),
        donor=f"{tiny_llama}+{tiny_adapter}",
        neurons=("L1.N3", "all"),
        prompts=source,
        writing=WritingOptions(max_new_tokens=8, batch_size=3),
        judging=JudgingOptions(("refusal",)),
    )
    with pytest.raises(KeyboardInterrupt):
        patch(db, "cut", options, progress=press)
    said = [report.message for report in reports if report.message]
    assert [message for message in said if "equal those of an independent load" not in message] == [
        "stopping once what is finished has been kept; Ctrl-C again stops at once"
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    ((status, done, total),) = db.rows("SELECT status, done, total FROM run_progress")
    assert status == "interrupted"
    assert 0 < done < total == 48
    patch(db, "cut", options, resume=True)
    patch(db, "whole", options)
    assert db.rows(WRITTEN, ["cut"]) == db.rows(WRITTEN, ["whole"])
