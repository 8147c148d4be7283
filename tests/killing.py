"""Runs in other processes, which may be killed: :mod:`tests.killed`, started once, for its imports take seconds."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol


class Ask(Protocol):
    """Has something done, and gives the answer; fails with what was written to the standard error, if anything was."""

    def __call__(self, how: str, *given: object) -> dict[str, Any]: ...


@contextmanager
def killing(folder: Path) -> Iterator[Ask]:
    """A process that does and kills runs when it is asked to; its standard error goes to a file in the folder."""
    errors = folder / "errors.txt"
    program = [sys.executable, str(Path(__file__).with_name("killed.py"))]
    pipe = subprocess.PIPE
    with errors.open("w") as err, subprocess.Popen(program, stdin=pipe, stdout=pipe, stderr=err, text=True) as other:

        def ask(how: str, *given: object) -> dict[str, Any]:
            assert other.stdin is not None and other.stdout is not None
            before = len(errors.read_text("utf-8"))
            other.stdin.write(json.dumps([how, *given]) + "\n")
            other.stdin.flush()
            answer = other.stdout.readline()
            said = errors.read_text("utf-8")[before:]
            assert answer and not said, said
            told: dict[str, Any] = json.loads(answer)
            return told

        yield ask
        assert other.stdin is not None
        other.stdin.close()
