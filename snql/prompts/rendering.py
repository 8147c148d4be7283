"""Chat templates in a process of their own with limits of time, memory and output: they are other people's programs.

The process is started at first use, renders one template after the other, and is ended and started anew where one of
them passes a limit. What it runs is transformers' own sandbox.
"""

import atexit
import json
import os
import re
import select
import signal
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from transformers import PreTrainedTokenizerBase

SECONDS = 10.0
BYTES = 1 << 30
CHARACTERS = 10_000_000
"""How long a template may take for one prompt, how much memory beside Python's own, and how much it may write."""

_LENGTH = struct.Struct("<Q")
_SERVE = "from snql.prompts.rendering import serve; serve()"


class RenderingError(ValueError):
    """A template that fails, or passes a limit; ``line``: where its syntax is wrong, if it is."""

    def __init__(self, reason: str, line: int | None = None) -> None:
        super().__init__(reason)
        self.line = line


def apply_template(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Mapping[str, str]],
    template: str | None = None,
    settings: Mapping[str, Any] | None = None,
) -> str:
    """What ``tokenizer.apply_chat_template`` makes of the messages, by ``template`` or else the tokenizer's own.

    settings: variables of the template, as JSON has them. Raises RenderingError.
    """
    text = tokenizer.get_chat_template(template)
    asked = {"chat_template": text, "conversations": [messages]}
    return str(_RENDERER.ask("render", asked | {**tokenizer.special_tokens_map, **(settings or {})}))


def variables(template: str) -> frozenset[str]:
    """Names that a template takes from outside; of one that is no Jinja by itself, all its words.

    Raises RenderingError: finding them computes what is constant in it.
    """
    return frozenset(_RENDERER.ask("variables", {"template": template}))


class _Renderer:
    """The process, as the one that asks it sees it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0
        self._lock = threading.Lock()

    def ask(self, what: str, given: Mapping[str, Any]) -> Any:
        """The answer; raises RenderingError. An interruption ends the process."""
        with self._lock:
            try:
                answer = self._answer(json.dumps([what, given]).encode())
            except BaseException:
                self.close()
                raise
        if "reason" in answer:
            raise RenderingError(answer["reason"], answer.get("line"))
        return answer["found"]

    def close(self) -> None:
        """End the process, if this one has started it."""
        process, self._process = self._process, None
        if process is not None and self._owner == os.getpid():
            process.kill()
            process.communicate()

    def _answer(self, asked: bytes) -> dict[str, Any]:
        process = self._started()
        if process.stdin is None or process.stdout is None:
            raise RuntimeError("the process was started without pipes")
        with suppress(BrokenPipeError):
            process.stdin.write(_LENGTH.pack(len(asked)) + asked)
            process.stdin.flush()
        until = time.monotonic() + SECONDS
        (length,) = _LENGTH.unpack(_read(process.stdout, _LENGTH.size, until))
        found: dict[str, Any] = json.loads(_read(process.stdout, length, until))
        return found

    def _started(self) -> "subprocess.Popen[bytes]":
        """A process that has said that it is ready, in a session of its own: Ctrl-C is for this process alone."""
        if self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            root = str(Path(__file__).parents[2])
            paths = os.pathsep.join([root, *(path for path in sys.path if path)])
            self._owner = os.getpid()
            self._process = subprocess.Popen(  # noqa: S603
                [sys.executable, "-P", "-c", _SERVE],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": paths},
                start_new_session=True,
            )
            if self._process.stdout is not None:
                _read(self._process.stdout, 1, time.monotonic() + 60)
        return self._process


def _read(pipe: IO[bytes], length: int, until: float) -> bytes:
    """So many bytes; raises RenderingError if they have not come in time, or the process has ended."""
    found = bytearray()
    while len(found) < length:
        ready, _, _ = select.select([pipe], [], [], max(0.0, until - time.monotonic()))
        if not ready:
            raise RenderingError(f"it took longer than {SECONDS:g} s, and is given no more")
        part = os.read(pipe.fileno(), min(length - len(found), 1 << 20))
        if not part:
            raise RenderingError("its process has ended: it asked for more than there is")
        found += part
    return bytes(found)


_RENDERER = _Renderer()
atexit.register(_RENDERER.close)


def serve() -> None:
    """Answer what standard input asks for until it ends; for the process alone."""
    source, sink = sys.stdin.buffer, os.fdopen(os.dup(1), "wb")
    _limit_memory()
    sink.write(b"!")
    sink.flush()
    while head := source.read(_LENGTH.size):
        signal.alarm(int(2 * SECONDS))  # nobody may be there any more who would end it
        answer = json.dumps(_answered(json.loads(source.read(*_LENGTH.unpack(head))))).encode()
        signal.alarm(0)
        sink.write(_LENGTH.pack(len(answer)) + answer)
        sink.flush()


def _answered(asked: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """What is found, or the reason why nothing is."""
    from jinja2 import TemplateSyntaxError

    what, given = asked
    try:
        return {"found": _variables(**given) if what == "variables" else _text(**given)}
    except TemplateSyntaxError as error:
        return {"reason": " ".join(str(error.message).split()), "line": error.lineno}
    except MemoryError:
        return {"reason": f"it needs more than {BYTES >> 30} GB of memory"}
    except Exception as error:  # noqa: BLE001 - a template can raise anything
        return {"reason": " ".join(str(error)[:1000].split()) or type(error).__name__}


def _text(**given: Any) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    found: Any = render_jinja_template(**given)
    text = str(found[0][0])
    if len(text) > CHARACTERS:
        raise ValueError(f"it writes {len(text):,} characters")
    text.encode()  # half of a pair of surrogates is no text
    return text


def _variables(template: str) -> list[str]:
    from jinja2 import Environment, TemplateError
    from jinja2.meta import find_undeclared_variables

    try:
        tree = Environment(extensions=["jinja2.ext.loopcontrols"], autoescape=False).parse(template)  # noqa: S701
        return list(find_undeclared_variables(tree))
    except TemplateError:
        return re.findall(r"\w+", template)


def _limit_memory() -> None:
    """No more than BYTES beside what is there once the libraries are; where the system can limit it."""
    import psutil
    from transformers.utils import chat_template_utils  # noqa: F401 - before the limit

    with suppress(ImportError):
        import resource

        most = psutil.Process().memory_info().vms + BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
