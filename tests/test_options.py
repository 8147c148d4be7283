"""One definition of an option: what is read off a tree of dataclasses."""

import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Annotated

import pytest
from typing_extensions import Doc

import snql
from snql.options import Argument, Aside, Flag, Inside, Joined, Later, build, config, leaves, values, words, words_of


@dataclass(frozen=True, kw_only=True)
class Writing:
    max_new_tokens: Annotated[int, Doc("Longest completion.")] = 128
    batch_size: Annotated[int | str, Doc("Rows."), Aside()] = "auto"


@dataclass(frozen=True, kw_only=True)
class Read:
    prompts: Annotated[tuple[str, ...], Doc("Prompt file.")] = ()
    where: Annotated[str | None, Doc("SQL.")] = None


@dataclass(frozen=True, kw_only=True)
class Job:
    neurons: Annotated[str, Doc("Expression."), Argument("EXPR")]
    judges: Annotated[tuple[str, ...], Doc("Judge."), Flag("--judge")]
    sweep: Annotated[tuple[str, ...], Doc("Sizes."), Joined()] = ()
    trace: Annotated[bool, Doc("Trace.")] = True
    freeze: Annotated[bool, Doc("Freeze."), Flag("--frozen", "-f", key="cold")] = False
    rubric: Annotated[Path | None, Doc("File."), Later()] = None
    read: Annotated[Read, Inside(without=("where",), required=("prompts",), docs={"prompts": "Other."})] = Read()
    writing: Writing = Writing(max_new_tokens=256)


JOB = Job(neurons="x:5%", judges=("a", "b"))


def test_leaves_are_the_fields_of_a_tree_in_order() -> None:
    found = {leaf.name: leaf for leaf in leaves(Job)}
    assert list(found) == [
        *("neurons", "judges", "sweep", "trace", "freeze", "rubric"),
        *("prompts", "where", "max_new_tokens", "batch_size"),
    ]
    assert [leaf.name for leaf in found.values() if leaf.required] == ["neurons", "judges", "prompts"]
    assert [leaf.name for leaf in found.values() if not leaf.shown] == ["where"]
    assert [leaf.name for leaf in found.values() if leaf.listed] == ["judges", "sweep", "prompts"]
    assert found["max_new_tokens"].default == 256 and found["max_new_tokens"].owner is Writing
    assert found["max_new_tokens"].path == ("writing", "max_new_tokens")
    assert (found["prompts"].doc, found["where"].doc) == ("Other.", "SQL.")
    assert (found["judges"].flag, found["judges"].key) == ("--judge", "judge")
    assert (found["freeze"].flags, found["freeze"].key) == (("--frozen", "-f"), "cold")
    assert (found["trace"].negated, found["freeze"].negated) == ("--no-trace", None)
    assert found["batch_size"].types == (int, str) and found["rubric"].types == (Path,)


def test_two_options_of_one_name_are_refused() -> None:
    @dataclass(frozen=True)
    class Twice:
        where: Annotated[str, Doc("Here.")]
        read: Read = Read()

    with pytest.raises(TypeError, match="two options named where"):
        leaves(Twice)


def test_a_configuration_holds_what_results_depend_on() -> None:
    plain = {
        "neurons": "x:5%",
        "judges": ("a", "b"),
        "sweep": (),
        "trace": True,
        "freeze": False,
        "prompts": (),
        "where": None,
        "max_new_tokens": 256,
    }
    assert config(JOB) == plain
    given = build(Job, values(JOB) | {"rubric": Path("r.txt"), "batch_size": 4})
    assert config(given) == plain | {"rubric": "r.txt"}


def test_words_give_what_is_no_default() -> None:
    assert words(JOB) == ["x:5%", "--judge", "a", "--judge", "b"]
    other = Job(
        neurons="y",
        judges=("a",),
        sweep=("1%", "5%"),
        trace=False,
        freeze=True,
        rubric=Path("r"),
        writing=Writing(max_new_tokens=128, batch_size=2),
    )
    assert words(other) == [
        *("y", "--judge", "a", "--sweep", "1%,5%", "--no-trace", "--frozen", "--rubric", "r"),
        *("--max-new-tokens", "128"),
    ]
    stored = {"judges": ["a"], "sweep": [], "unknown": 3, "trace": True, "max_new_tokens": 9, "where": "never shown"}
    assert words_of(Job, stored) == ["--judge", "a", "--max-new-tokens", "9"]


def test_options_are_built_from_flat_values_as_they_are_given() -> None:
    given = {
        "neurons": "x",
        "judges": ["a", "b"],
        "sweep": "1%, 5%",
        "rubric": "r.txt",
        "prompts": "p",
        "batch_size": "32",
        "max_new_tokens": "7",
    }
    made = build(Job, given)
    assert made == Job(
        neurons="x",
        judges=("a", "b"),
        sweep=("1%", "5%"),
        rubric=Path("r.txt"),
        read=Read(prompts=("p",)),
        writing=Writing(max_new_tokens=7, batch_size=32),
    )
    assert build(Job, {"neurons": "x", "judges": ("a",)}).writing == Writing(max_new_tokens=256)
    assert build(Writing, {"batch_size": "auto"}).batch_size == "auto"
    with pytest.raises(TypeError, match="judges"):
        build(Job, {"neurons": "x"})


def test_modules_of_options_load_no_heavy_library() -> None:
    names = [path.as_posix().removesuffix(".py").replace("/", ".") for path in _options_modules()]
    assert len(names) >= 6
    heavy = ("torch", "transformers", "duckdb")
    load = f"import sys, importlib\nfor name in {names}: importlib.import_module(name)\n"
    code = f"{load}print([name for name in {heavy} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def _options_modules() -> list[Path]:
    root = Path(snql.__file__).parent
    return [path.relative_to(root.parent) for path in sorted(root.rglob("options.py"))]


def test_every_option_of_the_library_is_documented_and_has_a_name_of_its_own() -> None:
    found = []
    for path in _options_modules():
        module = import_module(path.as_posix().removesuffix(".py").replace("/", "."))
        found += [each for each in vars(module).values() if is_options(each, module.__name__)]
    assert len(found) > 20
    for options in found:
        assert [leaf.name for leaf in leaves(options) if not leaf.doc] == [], options


def is_options(found: object, module: str) -> bool:
    """Whether it is a dataclass of options that a module defines, and one that is used as it is."""
    return (
        isinstance(found, type)
        and found.__module__ == module
        and found.__name__.endswith(("Options", "Flags"))
        and found.__name__ != "TrainOptions"
    )
