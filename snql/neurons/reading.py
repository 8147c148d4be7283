"""A text that is read from left to right, and where in it a mistake is."""

import re

from snql.errors import ExpressionError

MOST_DIGITS = 15
"""Of a number: no model has neurons, and no ranking ranks, of more; floats hold these exactly."""


class Reader:
    """at: the place of the next character."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while self.at < len(self.text) and self.text[self.at].isspace():
            self.at += 1
        return self.text[self.at] if self.at < len(self.text) else ""

    def take(self, pattern: "re.Pattern[str]") -> "re.Match[str] | None":
        """Read on past what matches here, after blanks; None, and nothing is read, if it does not."""
        self.peek()
        match = pattern.match(self.text, self.at)
        if match is not None:
            self.at = match.end()
        return match

    def need(self, pattern: "re.Pattern[str]", message: str) -> "re.Match[str]":
        """As :meth:`take`; raises ExpressionError with this message where it does not match."""
        match = self.take(pattern)
        if match is None:
            raise self.error(message)
        return match

    def expect(self, character: str) -> None:
        """Read one character; raises ExpressionError if it is another."""
        if self.peek() != character:
            raise self.error(f"expected {character!r}")
        self.at += 1

    def whole(self, digits: str) -> int:
        """A whole number; raises ExpressionError for more than MOST_DIGITS digits."""
        if len(digits) > MOST_DIGITS:
            raise self.error(f"a number of more than {MOST_DIGITS} digits")
        return int(digits)

    def error(self, message: str, at: int | None = None) -> ExpressionError:
        """A mistake here, or at another place."""
        return ExpressionError(message, self.text, (self.at if at is None else at) + 1)
