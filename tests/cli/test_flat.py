"""Commands whose options are the leaves of dataclasses, through Typer itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import pytest
import typer
from snql.cli.commands import command
from typing_extensions import Doc

from snql.options import Argument, Flag, Inside, Joined


@dataclass(frozen=True)
class Writing:
    """What several jobs share."""

    length: Annotated[int, Doc("How long.")] = 128
    batch: Annotated[int | str, Doc("Rows."), Flag("--batch-size")] = "auto"


@dataclass(frozen=True, kw_only=True)
class Options:
    """A job's own options, and those it shares."""

    files: Annotated[tuple[str, ...], Doc("Files."), Argument("FILE")]
    model: Annotated[str, Doc("Which.")]
    judges: Annotated[tuple[str, ...], Doc("Who."), Flag("--judge", "-j")] = ()
    sizes: Annotated[tuple[str, ...], Doc("Sizes."), Joined()] = ("1%", "5%")
    drafts: Annotated[bool | None, Doc("Drafts.")] = None
    costs: Annotated[bool, Doc("Costs.")] = False
    page: Annotated[Path | None, Doc("A page.")] = None
    writing: Annotated[Writing, Inside(docs={"length": "In tokens."})] = Writing(length=48)


def called(*arguments: str, **environment: str) -> tuple[Options, Writing]:
    made: list[Any] = []
    app = typer.Typer(add_completion=False, rich_markup_mode=None, context_settings={"auto_envvar_prefix": "T"})

    def job(options: Options, other: Annotated[Writing, Inside(without=("length", "batch"))]) -> None:
        made.extend([options, other])

    command(app)(job)
    typer.main.get_command(app).main(list(arguments), prog_name="job", standalone_mode=False)
    return made[0], made[1]


def test_defaults_are_those_of_the_dataclasses() -> None:
    assert called("a", "--model", "m") == (Options(files=("a",), model="m"), Writing())


def test_every_kind_of_value() -> None:
    words = ["a", "b", "--model", "m", "-j", "x", "--judge", "y z", "--sizes", "2%, 3%", "--no-drafts", "--costs"]
    given, _ = called(*words, "--page", "p.html", "--length", "9", "--batch-size", "64")
    assert given == Options(
        files=("a", "b"),
        model="m",
        judges=("x", "y z"),
        sizes=("2%", "3%"),
        drafts=False,
        costs=True,
        page=Path("p.html"),
        writing=Writing(9, 64),
    )


def test_the_environment_has_a_line_a_value_and_the_flags_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T_JUDGE", "x\ny z\n")
    monkeypatch.setenv("T_BATCH_SIZE", "7")
    given, _ = called("a", "--model", "m")
    assert (given.judges, given.writing.batch) == (("x", "y z"), 7)


@pytest.mark.parametrize("words", [["a"], ["--model", "m"], ["a", "--model", "m", "--no-costs"]])
def test_required_and_unknown_options_are_wrong_usage(words: list[str]) -> None:
    with pytest.raises(typer.TyperException):
        called(*words)


def test_help_lists_options_by_what_they_are_about(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(IndexError):
        called("--help")
    lines = capsys.readouterr().out.splitlines()
    heads = [line for line in lines if line.endswith(":") and not line.startswith(" ")]
    assert heads == ["Arguments:", "Options:", "Writing:"]
    below = lines[lines.index("Writing:") :]
    assert any("--length" in line and "In tokens." in line for line in below)
