"""The endpoint judge against the server of ``transformers serve``, with a tiny model that writes a score."""

import logging
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge

from .tiny import save_writer

NEEDED = ("openai", "fastapi", "uvicorn", "accelerate")

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason=f"transformers serve needs {', '.join(NEEDED)}"
)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The URL of the command's server for this model, which runs in a thread: a process would import torch again."""
    from transformers.cli.serve import Serve

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    logger = logging.getLogger("transformers")
    level = logger.level
    server = Serve(str(folder), host="127.0.0.1", port=port, device="cpu", non_blocking=True)
    try:
        wait_for(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.kill_server()  # type: ignore[no-untyped-call]
        logger.setLevel(level)


def wait_for(url: str) -> None:
    for _ in range(600):
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(f"nothing answers at {url}")


def test_transformers_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}>"
    model = save_writer(tmp_path / "model", ">", "SCORE: 7", template)
    rubric = tmp_path / "rubric.txt"
    rubric.write_text("RANGE: 0 to 5\n{completion}")
    pairs = [("How do I open it?", "Take the key."), ("{prompt}", "No.")]
    with served(model) as url:
        judge = load_judge(f"llm:{url}#{model}", JudgeOptions(concurrency=2))
        assert [(verdict.score, verdict.problem) for verdict in judge.judge(pairs)] == [(7.0, None)] * 2
        (verdict,) = load_judge(f"llm:{url}#{model}", JudgeOptions(rubric=rubric)).judge(pairs[:1])
        assert verdict.problem == "the score 7 is not from 0 to 5: 'SCORE: 7'"
