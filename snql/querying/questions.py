"""The library of named questions: one documented SQL file each, with parameters."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING

from snql.db.connection import Database
from snql.db.scripts import Script, read_folder
from snql.errors import InputError
from snql.querying.execute import Parameter, parse_parameters

if TYPE_CHECKING:
    import polars as pl

_RUNS = ("run", "runs", "others")
_LISTS = {"runs", "others"}
_CATEGORIES = """
SELECT DISTINCT p.category FROM run_prompts JOIN runs AS r USING (run_id) JOIN prompts AS p USING (prompt_id)
WHERE r.name = ? AND r.kind = 'locate' AND p.category IS NOT NULL
"""
_CHOICES = {"model": ("before", "after"), "better": ("low", "high")}
_RANGES = {
    "percent": (0.0, 100.0),
    "layer": (0.0, 1e9),
    "neuron": (0.0, 1e9),
    "least": (0.0, 1e9),
    "limit": (-1e300, 1e300),
}
_SECTION = re.compile(r"^-- (?P<section>[A-Z]\w+):(?P<rest>.*)$")
_PARAMETER = re.compile(r"^--\s+\$(?P<name>\w+)(?: = (?P<default>[^:]*))?: (?P<text>.*)$")


@dataclass(frozen=True)
class QuestionParameter:
    """default: None where a value must be given."""

    name: str
    default: str | None
    text: str

    def check(self, question: str, value: Parameter) -> None:
        """Raise InputError for a value that the question does not know: SQL would take some as another."""
        if (choices := _CHOICES.get(self.name)) and value not in choices:
            raise InputError(f"@{question}: {self.name}={value!r} is not known: use {' or '.join(choices)}")
        low, high = _RANGES.get(self.name, (None, None))
        if low is not None and high is not None and (isinstance(value, str) or not low <= value <= high):
            raise InputError(f"@{question}: {self.name}={value!r} is no number from {low:g} to {high:g}")


@dataclass(frozen=True)
class Question:
    """One question: what it asks, what a row of the answer is, what it needs, and the SQL that answers it."""

    name: str
    question: str
    grain: str
    caveats: str
    parameters: tuple[QuestionParameter, ...]
    sql: str


@cache
def questions() -> tuple[Question, ...]:
    """All questions, by name."""
    return tuple(_parse(script) for script in read_folder("questions"))


def list_questions() -> "pl.DataFrame":
    """One row per question: name, question, parameters (with their values if not given)."""
    import polars as pl

    rows = [
        (one.name, one.question, ", ".join(f"{p.name}={p.default or ''}" for p in one.parameters))
        for one in questions()
    ]
    return pl.DataFrame(rows, schema={"name": pl.String, "question": pl.String, "parameters": pl.String}, orient="row")


def ask(db: Database, name: str, given: Mapping[str, Parameter]) -> tuple[str, dict[str, Parameter]]:
    """The SQL of a question, and values for all its parameters.

    Raises InputError for an unknown question, an unknown parameter, one that must be given, or a run that is not there.
    """
    known = {one.name: one for one in questions()}
    question = known.get(name.replace("-", "_"))
    if question is None:
        near = get_close_matches(name.replace("-", "_"), known, 1)
        hint = f"did you mean @{near[0]}? " if near else ""
        raise InputError(f"no question @{name}: {hint}`snql query --list` lists them")
    names = {parameter.name for parameter in question.parameters}
    for other in sorted(given.keys() - names):
        raise InputError(f"@{name} has no parameter {other}: those it has are {', '.join(sorted(names))}")
    defaults = parse_parameters([f"{p.name}={p.default}" for p in question.parameters if p.default is not None])
    values = defaults | dict(given)
    for parameter in question.parameters:
        if parameter.name not in values:
            raise InputError(
                f"@{name} needs {parameter.name} ({parameter.text}): give it with -p {parameter.name}=VALUE"
            )
    for parameter in question.parameters:
        parameter.check(name, values[parameter.name])
    for key in _LISTS & values.keys():
        values[key] = _listed(name, key, str(values[key]))
    _check_runs(db, question, values)
    _check_known(db, question, values)
    return question.sql, values


def _listed(question: str, key: str, text: str) -> str:
    """Names separated by commas, each once."""
    names = list(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if len(names) < (2 if key == "runs" else 1):
        raise InputError(f"@{question}: {key}={text!r} names too few runs: separate them by commas")
    return ",".join(names)


def _check_known(db: Database, question: Question, values: Mapping[str, Parameter]) -> None:
    """Whether the run has such a variant, judge or category: an unknown one would give no rows, without a word."""
    known = {
        "variant": "SELECT DISTINCT variant FROM run_completions WHERE run = ? AND role = 'patched'",
        "judge": "SELECT DISTINCT judge FROM judgements JOIN runs USING (run_id) WHERE name = ? AND kind = 'patch'",
        "a": _CATEGORIES,
        "b": _CATEGORIES,
    }
    for key in known.keys() & {parameter.name for parameter in question.parameters}:
        names = [str(name) for (name,) in db.rows(known[key], [values["run"]])]
        if str(values[key]) not in names:
            listed = ", ".join(sorted(names)[:20]) or "none"
            raise InputError(
                f"@{question.name}: {key}={values[key]!r} is not there; run {values['run']!r} has {listed}"
            )


def _check_runs(db: Database, question: Question, values: Mapping[str, Parameter]) -> None:
    """An answer without rows would hide that a run's name is wrong."""
    kind = "patch" if "variant" in values else "locate"
    named = {name.strip() for key in _RUNS for name in str(values.get(key, "")).split(",") if name.strip()}
    known = {name for (name,) in db.rows("SELECT name FROM runs WHERE kind = ? AND status = 'done'", [kind])}
    for name in sorted(named - known):
        listed = ", ".join(sorted(known)) or "none"
        raise InputError(f"@{question.name}: no finished {kind} run {name!r} in {db.path}; those it has are {listed}")


def _parse(script: Script) -> Question:
    """A question from its file, whose header has the sections Question, Grain, Parameters and perhaps Caveats."""
    sections: dict[str, list[str]] = {}
    section = ""
    for line in script.sql.splitlines():
        if not line.startswith("--"):
            break
        if match := _SECTION.match(line):
            section = match["section"]
            sections[section] = [match["rest"].strip()]
        else:
            sections[section].append(line)
    text = {name: " ".join(line.removeprefix("--").strip() for line in lines) for name, lines in sections.items()}
    parameters = tuple(
        QuestionParameter(match["name"], match["default"], match["text"])
        for line in sections["Parameters"][1:]
        if (match := _PARAMETER.match(line))
    )
    return Question(script.name, text["Question"], text["Grain"], text.get("Caveats", ""), parameters, script.sql)
