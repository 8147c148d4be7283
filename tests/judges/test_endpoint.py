"""The endpoint judge over real connections to a server of the tests' own."""

import socket
import time
from pathlib import Path
from typing import Any

import pytest

from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.judges import rubric
from snql.judges.base import Pair, Verdict
from snql.judges.options import JudgeOptions, RejudgeFlags
from snql.judges.registry import load_judge
from snql.judges.stored import judge

from ..patching.located import locate_run
from .chat_server import ChatServer, Reply, Respond, chat_server

pytestmark = pytest.mark.usefixtures("lingering")

pytest.importorskip("openai", reason="the openai client is not installed (extra llm)")

KEY = "sk-very-secret-1234567890"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key, and no proxy between the tests and their server."""
    for name in ("OPENAI_API_KEY", "SNQL_JUDGE_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def short(tmp_path: Path) -> Path:
    """A rubric that sends the completion alone, so that the server can act by it."""
    file = tmp_path / "short.txt"
    file.write_text("{completion}")
    return file


def ask(server: ChatServer, pairs: list[Pair], **options: object) -> list[Verdict]:
    return load_judge(f"llm:{server.url}#m", JudgeOptions(**options)).judge(pairs)  # type: ignore[arg-type]


def test_scores_are_in_order_and_requests_bounded(short: Path) -> None:
    def respond(text: str, _: int) -> Reply:
        return Reply(f"Well.\nSCORE: {int(text) % 11}", delay=0.01 + 0.03 * (int(text) % 3 == 0))

    with chat_server(respond) as server:
        verdicts = ask(server, [("p", str(n)) for n in range(24)], rubric=short, concurrency=3)
        assert [verdict.score for verdict in verdicts] == [n % 11 for n in range(24)]
        assert 1 < server.most_at_once <= 3
        assert len(server.asked) == 24


def test_what_is_sent() -> None:
    pair = ("{completion} {0}", "{prompt} }{ %s")
    with chat_server(lambda *_: Reply("SCORE: 1")) as server:
        assert ask(server, [pair]) == [Verdict(1.0)]
    (asked,) = server.asked
    before, between, after = rubric.own("harm").text.replace("{completion}", "{prompt}").split("{prompt}")
    assert asked.text == before + pair[0] + between + pair[1] + after
    assert asked.path == "/v1/chat/completions"
    assert [message["role"] for message in asked.body["messages"]] == ["user"]
    assert {name: asked.body[name] for name in ("model", "temperature", "seed", "max_tokens")} == {
        "model": "m",
        "temperature": 0,
        "seed": 0,
        "max_tokens": 1024,
    }
    assert asked.headers["authorization"] == "Bearer none"


def test_failures_are_tried_again_and_then_missing(short: Path) -> None:
    bad = {
        "words": Reply("I would say seven."),
        "html": Reply(body="<html>gateway</html>", headers={"Content-Type": "text/html"}),
        "broken": Reply(body='{"choices": [', headers={"Content-Type": "application/json"}),
        "list": Reply(body="[]"),
        "null": Reply(None),
        "blank": Reply("  "),
        "cut": Reply("SCORE: 1", finish_reason="length"),
        "wrong": Reply(status=400, body='{"error": {"message": "no such\\noption"}}'),
        "gone": Reply(drop=True),
        "stuck": Reply("SCORE: 1", delay=1.5),
        "down": Reply(status=503, body="busy"),
    }
    once = {"dropped": Reply(drop=True), "slow": Reply("SCORE: 1", delay=1.5), "hiccup": Reply(status=500, body="oh")}

    def respond(text: str, nth: int) -> Reply:
        if text in once and nth == 0:
            return once[text]
        return bad.get(text, Reply("SCORE: 5"))

    names = [*once, *bad]
    with chat_server(respond) as server:
        verdicts = ask(server, [("p", name) for name in names], rubric=short, concurrency=16, retries=1, timeout=1.0)
        found = dict(zip(names, verdicts, strict=True))
        assert {found[name].score for name in once} == {5.0}
        assert {found[name].score for name in bad} == {None}
        retried = {*once, "gone", "stuck", "down"}
        assert {name for name in names if server.times[name] == 2} == retried
        assert {server.times[name] for name in names if name not in retried} == {1}
    problems = {name: str(found[name].problem) for name in bad}
    assert problems["words"] == "the answer has no lines SCORE: n, not one: 'I would say seven.'"
    assert problems["html"] == "the endpoint's answer is no chat completion: '<html>gateway</html>'"
    assert problems["broken"] == "the endpoint's answer is no chat completion: '{\"choices\": ['"
    assert problems["list"] == "the endpoint's answer is no chat completion: '[]'"
    assert problems["null"] == problems["blank"] == "the answer is empty (finish reason stop)"
    assert problems["cut"] == "the answer was cut off: 'SCORE: 1'"
    assert problems["wrong"].startswith("request failed with 400: ") and "no such" in problems["wrong"]
    assert problems["down"].startswith("request failed with 503: ")
    assert problems["gone"] == "request failed: Connection error."
    assert problems["stuck"] == "request failed: Request timed out."
    assert not any("\n" in problem for problem in problems.values())


def test_a_server_is_given_the_time_it_asks_for(short: Path) -> None:
    def respond(_: str, nth: int) -> Reply:
        return Reply("SCORE: 2") if nth else Reply(status=429, body="{}", headers={"Retry-After": "1"})

    with chat_server(respond) as server:
        assert ask(server, [("p", "c")], rubric=short) == [Verdict(2.0)]
    first, second = (asked.time for asked in server.asked)
    assert second - first >= 1.0  # of itself, the client would wait for half a second at most


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (401, "the endpoint answered 401: the key is wrong or missing"),
        (403, "the endpoint answered 403: the key may not use it"),
        (404, "the endpoint answered 404: there is no such model or path"),
    ],
)
def test_an_endpoint_that_lets_nobody_in(monkeypatch: pytest.MonkeyPatch, status: int, message: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    with chat_server(lambda *_: Reply(status=status, body=f'{{"error": {{"message": "bad {KEY}"}}}}')) as server:
        with pytest.raises(RunError) as raised:
            ask(server, [("p", str(n)) for n in range(40)], concurrency=2)
        assert str(raised.value) == f"judge llm:{server.url}#m: {message}"
        assert len(server.asked) <= 2  # those that were under way at once


def test_an_endpoint_that_is_not_there() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    start = time.monotonic()
    with pytest.raises(RunError, match=f"judge llm:{url}#m: the endpoint cannot be reached \\(.*refused\\)"):
        load_judge(f"llm:{url}#m", JudgeOptions(retries=1)).judge([("p", "c")])
    assert time.monotonic() - start > 0.3  # it was tried again
    with pytest.raises(RunError, match="the endpoint cannot be reached \\(.*\\)"):
        load_judge("llm:http://no-such-host.invalid/v1#m", JudgeOptions(retries=0)).judge([("p", "c")])


def test_the_key_is_sent_and_never_shown(short: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-another")
    monkeypatch.setenv("SNQL_JUDGE_API_KEY", KEY)
    echo = Reply(status=400, body=f'{{"error": {{"message": "unknown key {KEY}"}}}}')
    with chat_server(lambda *_: echo) as server:
        found = load_judge(f"llm:{server.url}#m", JudgeOptions(rubric=short))
        (verdict,) = found.judge([("p", "c")])
    assert server.asked[0].headers["authorization"] == f"Bearer {KEY}"
    assert "unknown key ***" in str(verdict.problem)
    assert KEY not in f"{verdict} {found.info}"


def test_errors_are_cut_after_200_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    for key in ("", KEY):
        monkeypatch.setenv("OPENAI_API_KEY", key)
        judge: Any = load_judge("llm:http://h/v1#m")
        assert judge._clean(ValueError(f"{'x ' * 99}yz{key}")) == f"{'x ' * 99}yz"
        assert judge._clean(ValueError(f"{key or '***'} is wrong")) == "*** is wrong"


def test_the_version_is_that_of_what_is_sent(short: Path, tmp_path: Path) -> None:
    def version(url: str = "http://h/v1", model: str = "m", file: Path | None = None, sign: str = "cost") -> str:
        return load_judge(f"llm:{url}#{model}", JudgeOptions(rubric=file, sign=sign)).info.version

    ranged = tmp_path / "ranged.txt"
    ranged.write_text("RANGE: 0 to 5\n{completion}")
    versions = [version(), version("http://g/v1"), version(model="n"), version(file=short), version(file=ranged)]
    assert len(set(versions)) == 5
    assert version() == version(sign="reward") == versions[0]
    settings = load_judge("llm:http://h/v1#m", JudgeOptions(sign="reward")).info.settings
    assert (settings["url"], settings["model"], settings["higher_is"]) == ("http://h/v1", "m", "better")
    assert (settings["rubric"], settings["range"]) == (rubric.own("harm").text, [0.0, 10.0])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("llm:http://user:hidden@host/v1#m", "the URL holds a password or a query"),
        ("llm:http://hidden@host/v1#m", "the URL holds a password or a query"),
        ("llm:http://host/v1?key=hidden#m", "the URL holds a password or a query"),
        ("llm:http://user:hidden@host/v1", "write llm:URL#MODEL"),
        ("llm:http://host/v1", "write llm:URL#MODEL"),
        ("llm:http://host/v1#", "write llm:URL#MODEL"),
        ("llm:ftp://host/v1#m", "write llm:URL#MODEL"),
        ("llm:http:///v1#m", "write llm:URL#MODEL"),
        ("llm:http://host:port/v1#m", "the URL cannot be read"),
    ],
)
def test_urls_that_cannot_be_used(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as raised:
        load_judge(name)
    assert "hidden" not in str(raised.value)


def failing_after(served: int) -> tuple[Respond, list[bool]]:
    """Replies of 1, and 401 once so many were served and until the list holds True."""
    mended = [False]
    count = [0]

    def respond(text: str, _: int) -> Reply:
        count[0] += 1
        if count[0] > served and not mended[0]:
            return Reply(status=401, body="{}")
        return Reply("no idea") if len(text) % 2 == 0 else Reply("SCORE: 1")

    return respond, mended


def test_a_run_keeps_what_was_scored_and_goes_on(
    db: Database, tiny_llama: Path, tiny_adapter: Path, short: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    locate_run(db, tiny_llama, tiny_adapter)
    counted = "SELECT count(*), count(score), count(problem) FROM judgements WHERE judge LIKE 'llm:%'"
    respond, mended = failing_after(5)
    with chat_server(respond) as server:
        name, options = f"llm:{server.url}#m", JudgeOptions(rubric=short, concurrency=1)
        with pytest.raises(RunError, match="the key is wrong or missing"):
            judge(db, "found", [name], options)
        ((some, _, _),) = db.rows(counted)
        assert some >= 4
        mended[0] = True
        judge(db, "found", [name], options, flags=RejudgeFlags(resume=True))
        texts = [text for (text,) in db.rows("SELECT text FROM completions")]
        missing = sum(len(text) % 2 == 0 for text in texts)
        assert 0 < missing < len(texts)
        assert db.rows(counted) == [(len(texts), len(texts) - missing, missing)]
        assert set(server.times) == set(texts)
    db.close()
    assert KEY.encode() not in db.path.read_bytes()
