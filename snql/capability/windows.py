"""Strided windows over a document: every token but the first is scored once, with as much context as fits."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from snql.errors import InputError
from snql.models.context import Context

DEFAULT_WINDOW = 1024


@dataclass(frozen=True)
class Window:
    """Tokens [start, stop) of a document, of which those from ``first`` on are scored; those before give context."""

    index: int
    start: int
    first: int
    stop: int

    @property
    def n_context(self) -> int:
        return self.first - self.start

    @property
    def n_tokens(self) -> int:
        """Scored tokens."""
        return self.stop - self.first

    def read(self, ids: Sequence[int]) -> tuple[int, ...]:
        """What the model reads: the last token is only predicted."""
        return tuple(ids[self.start : self.stop - 1])


@dataclass(frozen=True)
class Striding:
    """Windows of so many tokens that move on by ``stride``: windows after the first score their last ``stride``."""

    window: int
    stride: int

    @classmethod
    def choose(cls, window: int | None, stride: int | None, context: Context | None) -> "Striding":
        """From what was asked for; the model's context, at most DEFAULT_WINDOW, and half the window by default.

        Raises InputError for a window longer than the context, or a stride that leaves a window no context.
        """
        most = DEFAULT_WINDOW if context is None else min(DEFAULT_WINDOW, context.length)
        chosen = most if window is None else window
        if chosen < 2:
            raise InputError(f"`window` {chosen} is too short: a token needs at least one before it; use at least 2")
        if context is not None and chosen > context.length:
            raise InputError(f"`window` {chosen} is longer than {context}: use less")
        moved = max(1, chosen // 2) if stride is None else stride
        if not 1 <= moved < chosen:
            raise InputError(
                f"`stride` {moved} does not fit `window` {chosen}: use 1 to {chosen - 1}, so that the first token that "
                "a window scores has one before it"
            )
        return cls(chosen, moved)

    def windows(self, n_tokens: int) -> Iterator[Window]:
        """The windows of a document of so many tokens; none for fewer than two."""
        index = start = 0
        first = 1
        while first < n_tokens:
            stop = min(start + self.window, n_tokens)
            yield Window(index, start, first, stop)
            index, start, first = index + 1, start + self.stride, stop
