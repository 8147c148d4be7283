"""Values of rows as text: exact for programs, short for people."""

import json
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any


def plain(value: Any) -> Any:
    """A value that JSON has: a float that is not finite becomes null, times become ISO 8601 text."""
    if isinstance(value, float):
        return value if value == value and abs(value) != float("inf") else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value.isoformat() if isinstance(value, date | datetime | time) else str(value)


def exact(value: Any) -> str:
    """A value as text from which it can be read again, as CSV has it: nothing for none, NaN, inf, lists as JSON."""
    if value is None:
        return ""
    if isinstance(value, float):
        return "NaN" if value != value else repr(value)
    held = plain(value)
    return held if isinstance(held, str) else json.dumps(held, ensure_ascii=False)


def short(value: Any) -> str:
    """A value as people read it in a table: floats have four figures, times seconds, and none is a hyphen."""
    if value is None:
        return "-"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M:%S}"
    return f"{value + 0.0:.4g}" if isinstance(value, float) else str(value)
