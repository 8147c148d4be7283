"""A judge of the user's own: a Python function."""

import hashlib
import importlib
import inspect
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from snql.errors import InputError, RunError
from snql.judges.base import WORSE, JudgeInfo, Loader, Pair, Verdict
from snql.judges.options import JudgeOptions

_AT_ONCE = 500


def prepare(name: str, rest: str, options: JudgeOptions) -> Loader:
    """What imports ``MODULE:FUNCTION``, from the working directory too. Raises InputError if it is not written so."""
    module, colon, function = rest.partition(":")
    if not colon or not module or not function:
        raise InputError(f"judge {name!r}: write python:MODULE:FUNCTION")
    return lambda: FunctionJudge(name, _imported(name, module, function), options)


def _imported(name: str, module: str, function: str) -> Callable[..., Any]:
    here = str(Path.cwd())
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        found = getattr(importlib.import_module(module), function)
    except ImportError as error:
        raise InputError(f"judge {name!r}: module {module!r} cannot be imported ({error})") from error
    except AttributeError as error:
        raise InputError(f"judge {name!r}: module {module!r} has no {function!r}") from error
    finally:
        if added:
            sys.path.remove(here)
    if not callable(found):
        raise InputError(f"judge {name!r}: {function!r} is no function")
    return found  # type: ignore[no-any-return]


class FunctionJudge:
    """``function(prompts, completions)`` returns for each completion a number, None, or (number or None, label).

    None is recorded as a missing score. The function's source decides the judge's version.
    """

    def __init__(self, name: str, function: Callable[..., Any], options: JudgeOptions) -> None:
        self._name, self._function = name, function
        self._higher = options.higher_is(WORSE)

    @property
    def info(self) -> JudgeInfo:
        version = hashlib.sha256(self._source().encode()).hexdigest()[:16]
        return JudgeInfo(self._name, "python", version, {"higher_is": self._higher})

    def _source(self) -> str:
        try:
            return inspect.getsource(inspect.getmodule(self._function) or self._function)
        except (OSError, TypeError):
            return repr(self._name)

    @property
    def at_once(self) -> int:
        return _AT_ONCE

    def judge(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Raises RunError if the function fails or returns something else."""
        prompts, completions = [prompt for prompt, _ in pairs], [completion for _, completion in pairs]
        try:
            answers = list(self._function(prompts, completions))
        except Exception as error:
            raise RunError(f"judge {self._name} failed: {type(error).__name__}: {error}") from error
        return [self._verdict(answer) for answer in answers]

    def _verdict(self, answer: object) -> Verdict:
        score, label = answer if isinstance(answer, tuple) and len(answer) == 2 else (answer, None)
        if score is None:
            return Verdict(None, None if label is None else str(label), "the function gave none")
        try:
            return Verdict(float(score), None if label is None else str(label))  # type: ignore[arg-type]
        except (TypeError, ValueError) as error:
            raise RunError(f"judge {self._name} gave {answer!r}: return a number, None or (number, label)") from error
