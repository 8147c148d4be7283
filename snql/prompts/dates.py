"""Today's date, where a chat template writes it: a resumed run must not get another. Needs no model library."""

import re
from collections.abc import Sequence
from datetime import date

from snql.errors import InputError


def parse_date(text: str) -> date:
    """A day from YYYY-MM-DD; raises InputError for another shape."""
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"`template_date` {text!r} is no day: write YYYY-MM-DD") from error


def date_note(day: date) -> str:
    """What a run says of a template that asked for the date; :func:`noted_day` reads it."""
    return f"the chat template writes today's date: it is given {day}; `template_date` {day} keeps it"


def noted_day(notes: Sequence[str]) -> date | None:
    """The day that a run's templates were given, from its notes."""
    found = (re.fullmatch(r"the chat template writes .* is given (\d{4}-\d\d-\d\d);.*", note) for note in notes)
    return next((date.fromisoformat(match[1]) for match in found if match), None)
