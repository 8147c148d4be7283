"""Judges that are Python functions."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.judges.base import Verdict
from snql.judges.options import JudgeOptions
from snql.judges.registry import load_judge
from snql.judges.stored import judge

from ..patching.located import locate_run

pytestmark = pytest.mark.usefixtures("lingering")

PAIRS = [("ask", "one"), ("ask more", "three"), ("", "")]
MODULE = """
import math
import numpy

def lengths(prompts, completions):
    return [len(p) - len(c) for p, c in zip(prompts, completions)]

def array(prompts, completions):
    return numpy.array([len(c) for c in completions])

def labelled(prompts, completions):
    return ((len(c), "long" if len(c) > 3 else "short") if c else (None, "empty") for c in completions)

def some(prompts, completions):
    return [None if not c else float(len(c)) for c in completions]

def nan(prompts, completions):
    return [math.nan for _ in completions]

def few(prompts, completions):
    return [1.0] * (len(completions) - 1)

def words(prompts, completions):
    return ["bad" for _ in completions]

def broken(prompts, completions):
    return [1 / len(c) for c in completions]

def nothing(prompts, completions):
    pass

CONSTANT = 3
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A module in the working directory, which is not on the import path."""
    (tmp_path / "own_judges.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [place for place in sys.path if place not in ("", str(tmp_path))])
    before = list(sys.path)
    yield tmp_path / "own_judges.py"
    assert sys.path == before
    sys.modules.pop("own_judges", None)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        ("lengths", [Verdict(0.0), Verdict(3.0), Verdict(0.0)]),
        ("array", [Verdict(3.0), Verdict(5.0), Verdict(0.0)]),
        ("labelled", [Verdict(3.0, "short"), Verdict(5.0, "long"), Verdict(None, "empty", "the function gave none")]),
        ("some", [Verdict(3.0), Verdict(5.0), Verdict(None, None, "the function gave none")]),
        ("few", [Verdict(1.0), Verdict(1.0)]),
    ],
)
def test_what_functions_give(function: str, expected: list[Verdict]) -> None:
    found = load_judge(f"python:own_judges:{function}")
    assert found.judge(PAIRS) == expected
    assert (found.info.name, found.info.kind) == (f"python:own_judges:{function}", "python")
    assert found.info.settings["higher_is"] == "worse"
    assert load_judge("python:own_judges:some", JudgeOptions(sign="reward")).info.settings["higher_is"] == "better"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("broken", "judge python:own_judges:broken failed: ZeroDivisionError: division by zero"),
        ("words", "judge python:own_judges:words gave 'bad': return a number, None or (number, label)"),
        ("nothing", "judge python:own_judges:nothing failed: TypeError: 'NoneType' object is not iterable"),
    ],
)
def test_functions_that_fail(function: str, message: str) -> None:
    with pytest.raises(RunError) as raised:
        load_judge(f"python:own_judges:{function}").judge(PAIRS)
    assert str(raised.value) == message


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("python:own_judges", "write python:MODULE:FUNCTION"),
        ("python::lengths", "write python:MODULE:FUNCTION"),
        ("python:no_such_module:f", "module 'no_such_module' cannot be imported"),
        ("python:own_judges:no_such", "module 'own_judges' has no 'no_such'"),
        ("python:own_judges:CONSTANT", "'CONSTANT' is no function"),
    ],
)
def test_functions_that_are_not_there(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_judge(name)


def test_the_version_is_that_of_the_source(module: Path) -> None:
    old = load_judge("python:own_judges:lengths").info.version
    sys.modules.pop("own_judges")
    module.write_text(MODULE.replace("len(p) - len(c)", "len(p) + len(c)"))
    new = load_judge("python:own_judges:lengths").info.version
    sys.modules.pop("own_judges")
    module.write_text(module.read_text().replace("CONSTANT = 3", "CONSTANT = 4"))
    assert len({old, new, load_judge("python:own_judges:lengths").info.version}) == 3, "of all that it may use"
    assert load_judge("python:math:fsum").info.version != load_judge("python:math:prod").info.version


def test_bad_scores_stop_a_run(db: Database, tiny_llama: Path, tiny_adapter: Path) -> None:
    locate_run(db, tiny_llama, tiny_adapter)
    for function, message in (
        ("nan", "gave the score nan, which is not a finite number"),
        ("few", r"gave \d+ scores for"),
    ):
        with pytest.raises(RunError, match=f"judge python:own_judges:{function} {message}"):
            judge(db, "found", [f"python:own_judges:{function}"])
    assert db.rows("SELECT count(*) FROM judgements WHERE judge LIKE 'python%'") == [(0,)]
    judge(db, "found", ["python:own_judges:lengths"])
    wrong = "SELECT count(*) FROM judgements AS j JOIN completions AS c USING (run_id, variant_id, prompt_id, sample)"
    wrong += (
        " JOIN prompts AS p USING (prompt_id) WHERE judge LIKE 'python%' AND score != length(p.text) - length(c.text)"
    )
    assert db.rows(wrong) == [(0,)]
    assert db.rows("SELECT count(*) > 5 FROM judgements WHERE judge LIKE 'python%'") == [(True,)]
