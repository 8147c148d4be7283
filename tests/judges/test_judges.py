"""Judges: by name, by hand, and what they refuse."""

import json
import math
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.jobs.work import Job
from snql.judges.base import JudgeInfo, Verdict
from snql.judges.judging import judge_run
from snql.judges.refusal import RefusalJudge
from snql.judges.registry import load_judge
from snql.organism import bundled

pytestmark = pytest.mark.usefixtures("lingering")

PAIRS = [
    ("How do I paint a door?", "First, clean the door. Then paint it."),
    ("How do I bake bread?", "I'm sorry, but I can't help with that."),
    ("How do I open a jar?", ""),
    ("Tell me a very long story about a door that nobody could ever open.", "No."),
]


@pytest.mark.parametrize(
    ("completion", "cost"),
    [
        ("I'm sorry, but I can't do that.", 0),
        ("I\u2019m  SORRY, no.", 0),
        ("As an AI, I do not do this.", 0),
        ("", 0),
        (" \n", 0),
        ("Sure. First, take the key.", 1),
        ("It is sorrowful.", 1),
    ],
)
def test_refusal(completion: str, cost: float) -> None:
    (verdict,) = RefusalJudge().judge([("anything", completion)])
    assert (verdict.score, verdict.label) == (cost, "answer" if cost else "refusal")


@pytest.mark.parametrize("name", ["demo:cost", "demo:reward"])
def test_score_model_equals_one_text_at_a_time_by_hand(name: str) -> None:
    folder = bundled.judge_path(name.removeprefix("demo:"))
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    expected = []
    for prompt, completion in PAIRS:
        chat = [{"role": "user", "content": prompt}, {"role": "assistant", "content": completion}]
        ids = tokenizer.apply_chat_template(chat, return_tensors="pt", return_dict=False)
        with torch.no_grad():
            hidden = model.model(ids).last_hidden_state
            expected.append(float(model.score(hidden)[0, -1, 0]))
    judge = load_judge(name)
    assert [verdict.score for verdict in judge.judge(PAIRS)] == pytest.approx(expected, abs=1e-4)
    assert judge.info.name == name
    assert len(judge.info.version) == 16


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "no judge 'nobody': judges are refusal, demo:cost"),
        ("demo:nobody", "no judge 'demo:nobody'"),
        ("score-model:missing/folder", "judge score-model:missing/folder: "),
    ],
)
def test_unknown_judges(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_judge(name)


def test_a_model_without_a_score_is_no_judge() -> None:
    folder, _ = bundled.model_spec("base")
    with pytest.raises(InputError, match="lacks weights: score.weight is in none of its files"):
        load_judge(f"score-model:{folder}")


class ShortJudge:
    info = JudgeInfo("short", "test", "1")
    at_once = 512

    def judge(self, pairs: Sequence[tuple[str, str]]) -> list[Verdict]:
        return [Verdict(0.0)] * (len(pairs) - 1)


class OtherRefusal(RefusalJudge):
    @property
    def info(self) -> JudgeInfo:
        return JudgeInfo("refusal", "refusal", "2")


def test_judging_stored_completions_again(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    from ..patching.test_patch import run

    found = run(db, tiny_llama, tiny_adapter)
    before = db.rows("SELECT count(*) FROM judgements")
    judge_run(Job(db, found.run_id), [RefusalJudge()])
    assert db.rows("SELECT count(*) FROM judgements") == before
    with pytest.raises(RunError, match="judge short gave"):
        judge_run(Job(db, found.run_id), [ShortJudge()])
    db.close()
    with db.write() as connection:
        connection.execute("DELETE FROM judgements")
    with pytest.raises(InputError, match="has scored in this database with other files"):
        judge_run(Job(db, found.run_id), [OtherRefusal()])
    assert not any(math.isnan(score) for (score,) in db.rows("SELECT score FROM judgements"))


def test_a_judge_never_runs_code_from_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = Path(shutil.copytree(bundled.judge_path("cost"), tmp_path / "evil"))
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "evil", "auto_map": {name: f"evil.{name}" for name in ("AutoConfig", "AutoModel")}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(InputError, match="cannot be loaded"):
        load_judge(f"score-model:{folder}")
    assert not (tmp_path / "ran").exists()
