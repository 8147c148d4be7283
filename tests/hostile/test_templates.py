"""Chat templates are programs of somebody else's: whatever they do is one line, and soon over."""

import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from snql.prompts import rendering
from snql.prompts.rendering import RenderingError, apply_template

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture
from ..prompts.made import CHATML, LLAMA2, byte_tokenizer

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
    "memory": "{{ 'a' * 10 ** 11 }}",
    "memory of what is constant": "{{ ('a' * 10 ** 11) | length }}{{ nothing }}",
    "doubling": "{% set n = namespace(l=[1]) %}{% for i in range(99) %}{% set n.l = n.l + n.l %}{% endfor %}",
    "output": "{% for i in range(12) %}{{ messages[0].content ~ 'a' * 10 ** 6 }}{% endfor %}",
    "brackets": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "digits": "{{ " + "9" * 5000 + " }}",
}


@pytest.mark.parametrize("name", FAILING)
def test_a_template_that_fails_is_one_line(snql: Snql, name: str, tmp_path: Path) -> None:  # noqa: F811
    (tmp_path / "p.jsonl").write_text('{"prompt": "How?"}\n')
    (tmp_path / "t.jinja").write_text(FAILING[name])
    done = snql("prompts", "p.jsonl", "--model", "demo:sft", "--template", "t.jinja")
    assert done.code in (0, 1, 2) and "Traceback" not in done.err
    assert done.code == 0 or [line[:6] for line in done.err.splitlines()][-1:] == ["snql: "], done.err


def test_a_template_without_end_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rendering, "SECONDS", 0.5)
    for nested in ("{% for a in range(99999) %}" * 4 + "x" + "{% endfor %}" * 4, "{{ ('a' * 10 ** 8) | join }}"):
        begun = time.monotonic()
        with pytest.raises(RenderingError, match=r"it took longer than 0\.5 s, and is given no more"):
            apply_template(byte_tokenizer(), [], nested)
        assert time.monotonic() - begun < 20, "a generous bound: half a second beside starting the process"
    assert apply_template(byte_tokenizer(), [], "{{ 1 + 1 }}") == "2", "the next one gets a process of its own"


def test_templates_write_what_transformers_writes() -> None:
    said = [{"role": "user", "content": "Hé \u2028 <&>"}, {"role": "assistant", "content": "\x1b"}]
    for text in (CHATML, LLAMA2, "{{ messages | tojson }}{% generation %}{{ bos_token }}{% endgeneration %}"):
        tokenizer = byte_tokenizer(text)
        for prompt in (True, False):
            expected = tokenizer.apply_chat_template(said, tokenize=False, add_generation_prompt=prompt)
            assert apply_template(tokenizer, said, settings={"add_generation_prompt": prompt}) == expected


def test_the_process_of_templates_ends_with_the_one_that_asks() -> None:
    script = (
        "from snql.prompts import rendering as r; import os; print(r.variables('{{ a }}{{ b }}') == {'a', 'b'}, "
        "r._RENDERER._process.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    found, number = done.stdout.split()
    assert (found, done.returncode) == ("True", -9)
    until = time.monotonic() + 20
    while _runs(int(number)) and time.monotonic() < until:
        time.sleep(0.05)
    assert not _runs(int(number))


def _runs(number: int) -> bool:
    try:
        return psutil.Process(number).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
