"""Results at another scale in a column of their own: the ``rows.csv`` that an earlier run of recipes left."""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snql.errors import InputError

_NEEDED = ("recipe", "claim", "row", "value", "low", "high", "n", "verdict")


@dataclass(frozen=True)
class Beside:
    """Rows of another scale. found: a text by row, by recipe and claim."""

    name: str
    found: Mapping[tuple[str, str], Mapping[str, str]]

    def of(self, recipe: str, claim: str) -> dict[str, str]:
        """A text for each row of a claim, by the row's label."""
        return dict(self.found.get((recipe, claim), {}))


def read_beside(given: str) -> Beside:
    """What ``NAME=FILE`` names. Raises InputError if it is none, or the file is no ``rows.csv``."""
    name, equals, path = given.partition("=")
    if not equals or not name or not path:
        raise InputError(f"`beside` {given!r} is no NAME=FILE, such as smollm2-135m=docs/smollm2.csv")
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file)
            missing = [column for column in _NEEDED if column not in (reader.fieldnames or ())]
            rows = [] if missing else list(reader)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"`beside` {path} cannot be read: name the rows.csv that `snql paper` wrote") from error
    if missing:
        raise InputError(f"`beside` {path} has no column {missing[0]}: name the rows.csv that `snql paper` wrote")
    found: dict[tuple[str, str], dict[str, str]] = {}
    for row in rows:
        found.setdefault((row["recipe"], row["claim"]), {})[row["row"]] = _words(row)
    return Beside(name, found)


def _words(row: Mapping[str, str]) -> str:
    percent = "%" in (row.get("published") or "")
    value, low, high = (_number(row[name], percent=percent) for name in ("value", "low", "high"))
    if not value:
        return row["verdict"]
    ends = f" [{low}, {high}]" if low and high else ""
    count = f"n = {row['n']}; " if row["n"] else ""
    return f"{value}{ends} ({count}{row['verdict']})"


def _number(text: str, *, percent: bool) -> str:
    """Three figures of a number, of a share in percent where the paper gives it so; "" if it is none."""
    try:
        value = float(text)
    except ValueError:
        return ""
    if percent:
        return f"{100 * value:.3g}%"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
