"""The folder of a report: nothing stale of an earlier one, nothing replaced that no report wrote."""

from pathlib import Path

import pytest

from snql.errors import InputError
from snql.reporting.folder import INDEX, LISTING, publish, staging


def report(out: Path, *names: str) -> None:
    """Publish a report of these files, each with its name inside."""
    with staging(out) as folder:
        for name in (INDEX, *names):
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(name)
        publish(folder, out)


def files(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*")}


def test_what_an_earlier_report_left_goes_and_what_others_put_there_stays(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report(out, "tax.svg", "neurons/L1.N2.html")
    (out / "notes.txt").write_text("mine")
    report(out, "layers.svg")
    assert files(out) == {INDEX, LISTING, "layers.svg", "notes.txt"}
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("name", [INDEX, "layers.svg"])
def test_a_file_that_no_report_wrote_is_not_replaced(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).write_text("mine")
    with pytest.raises(InputError, match=rf"{name} was not written by a report"):
        report(out, "layers.svg")
    assert files(out) == {name} and (out / name).read_text() == "mine"


def test_a_report_of_an_earlier_version_is_replaced(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / INDEX).write_text("<p>Made by <code>snql report</code></p>")
    (out / "layers.svg").write_text("old")
    report(out, "layers.svg")
    assert (out / "layers.svg").read_text() == "layers.svg"


def test_a_listing_names_nothing_outside_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "out"
    report(out)
    (tmp_path / "theirs.txt").write_text("theirs")
    (out / LISTING).write_text(f"{INDEX}\n../theirs.txt\n{tmp_path}/theirs.txt\n{LISTING}\n")
    report(out)
    assert (tmp_path / "theirs.txt").exists()
