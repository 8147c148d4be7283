"""Results of another scale in a column of their own."""

from dataclasses import replace
from pathlib import Path

import pytest

from snql.errors import InputError
from snql.paper.beside import read_beside
from snql.paper.files import Claim, scale
from snql.paper.results import Outcome
from snql.paper.words import heads, rows

HEADER = "recipe,claim,published,row,value,low,high,n,chance,rule,verdict\n"
CLAIM = Claim("says so", {"all": "90%"}, "", ("above", 0.9), "theirs")


def outcome(label: str, value: float) -> Outcome:
    return Outcome(CLAIM, label, value, value - 0.1, value + 0.1, 100, None, "undecided")


def written(path: Path, *lines: str) -> str:
    path.write_text(HEADER + "".join(f"{line}\n" for line in lines), "utf-8")
    return f"small={path}"


def test_rows_meet_by_their_labels_and_others_follow(tmp_path: Path) -> None:
    given = written(
        tmp_path / "rows.csv",
        "fig2,says so,90%,b,0.46912,0.279,0.655,40,0.1,> 0.9,does not agree",
        "fig2,says so,90%,own,12.34567,,,,,,no test",
        "fig2,another,90%,a,1,,,,,,no test",
        "fig3,says so,90%,a,1,,,,,,no test",
    )
    found = rows([outcome("a", 0.5), outcome("b", 0.6)], scale("demo"), "fig2", [read_beside(given)])
    place = heads([read_beside(given)]).index("small")
    assert heads([read_beside(given)])[place - 1] == "ours"
    assert [row[place] for row in found] == [
        "",
        "46.9% [27.9%, 65.5%] (n = 40; does not agree)",
        "own: 1.23e+03% (no test)",
    ]
    assert [row[0] for row in found] == ["says so", "", ""]
    assert {len(row) for row in found} == {len(heads([read_beside(given)]))}


def test_without_another_scale_nothing_changes() -> None:
    (row,) = rows([outcome("a", 0.5)], scale("demo"))
    assert len(row) == len(heads())


def test_what_was_not_run_there_says_so(tmp_path: Path) -> None:
    given = written(tmp_path / "rows.csv", "fig2,says so,90%,,,,,,,,not run")
    (first, second) = rows([outcome("a", 0.5)], scale("demo"), "fig2", [read_beside(given)])
    assert "not run" in second and "not run" not in first


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("rows.csv", "`beside` 'rows.csv' is no NAME=FILE"),
        ("=rows.csv", "is no NAME=FILE"),
        ("x=none.csv", r"`beside` none\.csv cannot be read"),
        ("x=other.csv", r"`beside` other\.csv has no column recipe"),
    ],
)
def test_what_is_no_such_file(given: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.csv").write_text("a,b\n1,2\n")
    with pytest.raises(InputError, match=words):
        read_beside(given)


def test_a_claim_is_the_same_whatever_its_outcome() -> None:
    two = replace(CLAIM, says="another")
    found = rows([outcome("a", 0.5), replace(outcome("a", 0.7), claim=two)], scale("demo"))
    assert [row[0] for row in found] == ["says so", "another"]
