"""The command lines that the page prints: the command line reads them back as the same configuration."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from snql.cli.app import run

from snql.contrast.locate import LocateOptions
from snql.errors import InputError
from snql.models.options import LoadOptions
from snql.patching.patch import PatchOptions
from snql.prompts.options import PromptOptions
from snql.reporting.reproduce import LOCATE, PATCH, command

SOURCE = PromptOptions(
    ("a b.jsonl", "demo:harmful"),
    prompt_column="goal",
    template="tulu",
    limit=5,
    sample=7,
    where="category = 'x y'",
    disjoint_from=("old", "older"),
    system="Be\nkind.",
    response_prefix="Sure: ",
)
LOADING = LoadOptions(
    dtype="bfloat16",
    device="auto",
    trust_remote_code=True,
    device_map="auto",
    attn_implementation="eager",
    quantize="8bit",
)
LOCATES = {
    "defaults": LocateOptions("a", "b", PromptOptions(("p",))),
    "all": LocateOptions(
        *("a@1+b c", "a@1+d", SOURCE, "generated", "after", 9, 0, "L1.N2,L3.N4", "parquet", True, 500, "float16"),
        seed=3,
        load=LOADING,
    ),
}
PATCHES = {
    "defaults": PatchOptions("a", "b", ("safety:5%",), PromptOptions(("p",)), ("refusal",)),
    "frozen": PatchOptions("a", "b", ("x:5% & y", "z"), SOURCE, ("j", "k"), freeze=True, drafts=False, trace=False),
    "all": PatchOptions(
        *("a", None, ("x", "y"), SOURCE, ("j",), "scale:-0.5", False, "completion", 4, ("1%", "5%"), None, 3, 2, 9),
        *(0.7, 0.9, 5, True, True),
        seed=11,
        allow_overlap=True,
        load=LOADING,
        judge_signs=("cost", "j=reward"),
        rubric=Path("a rubric.txt"),
    ),
    "window": PatchOptions("a", "b", ("x",), PromptOptions(("p",)), ("j",), window="5%:30%", random=1),
}


def _parsed(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> tuple[str, Any]:
    """Name and options that the command line makes of the words."""
    seen: list[tuple[str, Any]] = []

    def stop(_db: object, name: str, options: Any, **_: object) -> None:
        seen.append((name, options))
        raise InputError("seen")

    monkeypatch.setattr("snql.contrast.locate.locate", stop)
    monkeypatch.setattr("snql.patching.patch.patch", stop)
    assert words[0] == "snql" and run(words[1:]) == 2
    return seen[0]


@pytest.mark.parametrize(
    ("kind", "options"),
    [("locate", options) for options in LOCATES.values()] + [("patch", options) for options in PATCHES.values()],
    ids=[*(f"locate-{name}" for name in LOCATES), *(f"patch-{name}" for name in PATCHES)],
)
def test_a_command_line_gives_the_configuration_it_was_made_of(
    monkeypatch: pytest.MonkeyPatch, kind: str, options: LocateOptions | PatchOptions
) -> None:
    stored = json.dumps(options.config())
    words = shlex.split(command(kind, "my run", stored))
    name, found = _parsed(monkeypatch, words)
    assert name == "my run"
    assert json.loads(json.dumps(found.config())) == json.loads(stored)


@pytest.mark.parametrize(("known", "options"), [(LOCATE, LOCATES["all"]), (PATCH, PATCHES["all"])])
def test_every_key_of_a_configuration_is_an_option(
    known: dict[str, object], options: LocateOptions | PatchOptions
) -> None:
    assert set(known) == set(options.config())


def test_what_is_not_a_default_is_printed() -> None:
    config = {
        "recipient": "a b", "donor": "c", "neurons": ["x:5%", "y:5% & z"], "sweep": ["1%", "5%"], "judges": ["j"],
        "prompts": ["p.jsonl"], "limit": None, "resume": True, "seed": 1, "trace": False, "unknown": 3,
    }  # fmt: skip
    assert shlex.split(command("patch", "my run", json.dumps(config))) == [
        *("snql", "patch", "my run", "--recipient", "a b", "--donor", "c"),
        *("--neurons", "x:5%", "--neurons", "y:5% & z", "--sweep", "1%,5%"),
        *("--prompts", "p.jsonl", "--judge", "j", "--no-trace", "--seed", "1"),
    ]


def test_stored_command_line_is_preferred() -> None:
    assert command("locate", "x", '{"command": "snql locate x --before a"}') == "snql locate x --before a"
    assert command("locate", "x", '{"argv": ["snql", "a b"]}') == "snql 'a b'"
