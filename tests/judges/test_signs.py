"""Which way judges' scores point: what the user says, for all or for one, and what names say."""

from pathlib import Path
from typing import Any

import pytest

from snql.db.connection import Database
from snql.errors import InputError
from snql.judges.signs import given_signs, sign_of
from snql.patching.patch import patch

from ..patching.test_patch import options
from .chat_server import Reply, chat_server

pytestmark = pytest.mark.usefixtures("lingering")


def test_a_sign_is_for_all_judges_or_for_one() -> None:
    judges = ("llm:http://x/v1#a=b", "python:m:f")
    assert given_signs(judges, ()) == {}
    assert given_signs(judges, ("reward",)) == dict.fromkeys(judges, "reward")
    assert given_signs(judges, ("llm:http://x/v1#a=b=reward", "cost")) == dict(
        zip(judges, ("reward", "cost"), strict=True)
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("good", "`judge_signs` 'good' is not known: use cost or reward, or JUDGE=cost"),
        ("refusal=good", "`judge_signs` 'refusal=good' is not known"),
        ("refusal=cost", "'refusal' is not one of the judges, python:m:f"),
    ],
)
def test_a_wrong_sign_is_refused(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        given_signs(("python:m:f",), (text,))


def test_names_say_what_they_say_and_no_more() -> None:
    names = {
        "demo:cost": "cost",
        "demo:reward": "reward",
        "score-model:PKU-Alignment/beaver-7b-v1.0-cost": "cost",
        "score-model:some/Reward-Model": "reward",
        "score-model:reward-and-cost": None,
        "score-model:x": None,
        "llm:http://x/v1#cost": None,
        "refusal:zou2023": "cost",
    }
    assert {name: sign_of(name) for name in names} == names


def test_a_patch_run_asks_an_endpoint_by_its_own_rubric(
    db: Database, tiny_llama: Path, tiny_adapter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("openai", reason="the openai client is not installed (extra llm)")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    rubric = tmp_path / "mine.txt"
    rubric.write_text("Rate this:\n{completion}")
    with chat_server(lambda *_: Reply("SCORE: 4")) as server:
        name = f"llm:{server.url}#m"
        judging: dict[str, Any] = {"judges": (name, "refusal"), "judge_signs": (f"{name}=reward",), "rubric": rubric}
        chosen = options(tiny_llama, tiny_adapter, neurons=("L1.N3",), sweep=(), random=0, max_new_tokens=2, **judging)
        found = patch(db, "run", chosen)
    assert {asked.text.partition("\n")[0] for asked in server.asked} == {"Rate this:"}
    assert set(found.effects["judge"]) == {name, "refusal"}
    stored = dict(db.rows("SELECT judge, settings ->> '$.higher_is' FROM judges"))
    assert stored == {name: "better", "refusal": "worse"}
