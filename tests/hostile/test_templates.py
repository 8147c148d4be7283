"""Chat templates are programs of somebody else's: whatever they do is one line, and soon over."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture

FAILING = {
    "zero": "{{ 1 / 0 }}",
    "index": "{{ 'x'.index('y') }}",
    "range": "{% for i in range(10 ** 9) %}x{% endfor %}",
    "recursion": "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "surrogate": "{{ '\\ud800' }}{{ messages[0].content }}",
    "attribute": "{{ messages.__class__.__mro__ }}",
    "undefined": "{{ nothing.at.all }}",
    "call": "{{ messages() }}",
    "long": "{{ messages[0].content * 100000000 }}",
    "syntax": "{% for %}",
    "raise": "{{ raise_exception('no') }}",
    "import": "{% import 'os' as os %}",
    "power": "{{ 10 ** 10 ** 7 % 7 }}",
}


@pytest.mark.parametrize("name", FAILING)
def test_a_template_that_fails_is_one_line(snql: Snql, name: str, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "p.jsonl").write_text('{"prompt": "How?"}\n')
    (tmp_path / "t.jinja").write_text(FAILING[name])
    done = snql("prompts", "p.jsonl", "--model", "demo:sft", "--template", "t.jinja")
    assert done.code in (0, 1, 2) and "Traceback" not in done.err
    assert done.code == 0 or [line[:6] for line in done.err.splitlines()][-1:] == ["snql: "], done.err


def test_a_template_without_end_is_ended(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text('{"prompt": "How?"}\n')
    nested = "{% for a in range(99999) %}" * 4 + "x" + "{% endfor %}" * 4
    (tmp_path / "t.jinja").write_text(nested)
    command = [
        sys.executable,
        "-m",
        "snql",
        "--quiet",
        "prompts",
        "p.jsonl",
        "--model",
        "demo:sft",
        "--template",
        "t.jinja",
    ]
    begun = time.monotonic()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (
        1,
        "snql: --template: the chat template took longer than 10 s, and is given no more: ask for less\n",
    )
    assert time.monotonic() - begun < 60
