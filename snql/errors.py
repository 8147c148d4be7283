"""Errors that users can act on.

Every foreseen failure raises a :class:`SnqlError` whose message is one line naming the value, the cause and the
remedy. The command line prints that line and exits with ``exit_code``; anything else keeps its traceback.
"""

import re

_SHOWN = 80
SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a pair: a text that holds one cannot be written in any encoding."""


def line(text: str, longest: int = 500) -> str:
    """A message that is not too long to be read: its beginning, which names the value, and its end, the remedy."""
    if len(text) <= longest:
        return text
    kept = (longest - 3) // 2
    return f"{text[:kept]} … {text[-kept:]}"


class SnqlError(Exception):
    """Base of all foreseen errors."""

    exit_code = 2

    def __str__(self) -> str:
        return line(super().__str__())


class InputError(SnqlError):
    """Something the user gave is wrong: a file, a column, a model spec, an option."""


class ExpressionError(InputError):
    """A neuron expression is malformed or names something unknown.

    ``column`` counts characters of the expression from 1; ``problem`` says what is wrong there.
    """

    def __init__(self, message: str, expression: str, column: int) -> None:
        super().__init__(f"neuron expression {_around(expression, column)!r}, column {column}: {message}")
        self.problem = message
        self.expression = expression
        self.column = column


def _around(expression: str, column: int) -> str:
    """The expression, of a long one what is about the column."""
    if len(expression) <= 2 * _SHOWN:
        return expression
    first, last = max(0, column - _SHOWN), column + _SHOWN
    return f"{'…' * (first > 0)}{expression[first:last]}{'…' * (last < len(expression))}"


class DatabaseError(SnqlError):
    """The database file is missing, foreign, locked, read-only or of another snql."""


class ModelError(InputError):
    """A model or adapter cannot be loaded, or did not load as its files say."""


class RunError(SnqlError):
    """A run began and failed; its row in ``runs`` says why."""

    exit_code = 1


_NO_MEMORY = re.compile(
    r"out of memory|not enough memory|bad_alloc|failed to map segment|can't start new thread|could not spawn threads"
    r"|(can't|cannot|could not|unable to|failed to) allocate|OutOfMemory",
    re.IGNORECASE,
)


def lacks_memory(error: BaseException) -> bool:
    """Whether an error, or what it follows from, is that there is no memory: each library says so in its own way."""
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, MemoryError) or _NO_MEMORY.search(f"{type(found).__name__}: {found}"):
            return True
        found = found.__cause__ or found.__context__
    return False


def reason(error: BaseException, longest: int = 300) -> str:
    """What another library says went wrong, on one line: its first sentences, never cut within one."""
    lines = [" ".join(line.split()) for line in str(error).splitlines()]
    lines = [line for line in lines if line]
    text = " ".join(lines[:2]) if lines and lines[0].endswith(":") else " ".join(lines)
    if not text:
        return type(error).__name__
    while len(text) > longest:
        shorter = text.rpartition(". ")[0]
        if not shorter:
            return text.split(". ")[0]
        text = shorter
    return text
