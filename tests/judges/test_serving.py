"""The endpoint judge against ``transformers serve`` on loopback, with a tiny model that writes a score."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import pytest

from snql.judges.base import JudgeOptions
from snql.judges.registry import load_judge

from .tiny import save_writer

NEEDED = ("openai", "fastapi", "uvicorn")

pytestmark = pytest.mark.skipif(
    any(find_spec(name) is None for name in NEEDED), reason=f"transformers serve needs {', '.join(NEEDED)}"
)


@contextmanager
def served(folder: Path, log: Path) -> Iterator[str]:
    """The URL of a server of this model, in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "transformers.cli.transformers", "serve", str(folder), "--host", "127.0.0.1", "--port", str(port)]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *command, "--device", "cpu"],
            stdout=output,
            stderr=output,
            env=os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        )
    try:
        wait_for(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(30)


def wait_for(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text()
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.URLError:
            time.sleep(0.1)
        else:
            return
    raise AssertionError(log.read_text())


def test_transformers_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    template = "{% for m in messages %}{{ m.content }}\n{% endfor %}>"
    model = save_writer(tmp_path / "model", ">", "SCORE: 7", template)
    rubric = tmp_path / "rubric.txt"
    with served(model, tmp_path / "log") as url:
        pairs = [("How do I open it?", "Take the key."), ("{prompt}", "No.")]
        judge = load_judge(f"llm:{url}#{model}", JudgeOptions(concurrency=2))
        assert [(verdict.score, verdict.problem) for verdict in judge.judge(pairs)] == [(7.0, None)] * 2
        rubric.write_text("RANGE: 0 to 5\n{completion}")
        (verdict,) = load_judge(f"llm:{url}#{model}", JudgeOptions(rubric=rubric)).judge(pairs[:1])
        assert verdict.problem == "the score 7 is not from 0 to 5: 'SCORE: 7'"
