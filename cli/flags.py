"""Names of options: the library's texts have Python's `in_backticks`, people at the command line are shown flags."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

_NAME = re.compile("`([a-z][a-z_]*)(=False)?`")

_SHOWN: ContextVar[Callable[[str], str]] = ContextVar("shown", default=str)
_QUIET: ContextVar[bool] = ContextVar("quiet", default=False)


@contextmanager
def naming(command: Any, root: Any, *, quiet: bool = False) -> Iterator[None]:
    """Within the block, what is said while the command runs names its flags; quiet: what the user wants of notes."""
    shown, still = _SHOWN.set(lambda text: with_flags(text, command, root)), _QUIET.set(quiet)
    try:
        yield
    finally:
        _SHOWN.reset(shown)
        _QUIET.reset(still)


def is_quiet() -> bool:
    """Whether the user of the command at work wants no notes."""
    return _QUIET.get()


def said(text: str) -> str:
    """A text of the library as the command at work says it."""
    return _SHOWN.get()(text)


def with_flags(message: str, command: Any, root: Any) -> str:
    """The message with each name in backticks as its flag, of the command or else of any; other names stay."""
    return named(message, lambda name: flags_of(command).get(name) or flags_of(root).get(name))


def named(text: str, flag: Callable[[str], str | None]) -> str:
    """The text with each name in backticks as its flag; a name that has none stays."""

    def shown(found: re.Match[str]) -> str:
        known = flag(found[1])
        return found[0] if known is None else f"--no-{known[2:]}" if found[2] else known

    return _NAME.sub(shown, text)


def flags_of(command: Any) -> dict[str, str]:
    """The flags of a command, and of those below it, by the names that Python has for them."""
    flags: dict[str, str] = {}
    for each in getattr(command, "commands", {}).values():
        flags |= flags_of(each)
    own = {each.name: each.opts[0] for each in command.params if each.param_type_name == "option"}
    return flags | own | getattr(command.callback, "flags", {})
