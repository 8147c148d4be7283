"""The command lines that the page prints: the command line reads them back as the same configuration."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from snql.cli.app import run

from snql.contrast.options import LocateOptions
from snql.errors import InputError
from snql.generation.options import SamplingOptions, WritingOptions
from snql.judges.options import JudgingOptions
from snql.models.options import LoadOptions
from snql.options import config
from snql.patching.options import PatchOptions
from snql.prompts.options import PromptOptions
from snql.reporting.reproduce import command

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
    "defaults": LocateOptions(before="a", after="b", prompts=PromptOptions(("p",))),
    "all": LocateOptions(
        before="a@1+b c",
        after="a@1+d",
        prompts=SOURCE,
        positions="generated",
        completions_by="after",
        writing=WritingOptions(max_new_tokens=9),
        skip_last_layers=0,
        keep="L1.N2,L3.N4",
        store="parquet",
        recompute=True,
        bootstrap=500,
        after_dtype="float16",
        seed=3,
        models=LOADING,
    ),
}
PATCHES = {
    "defaults": PatchOptions(
        recipient="a",
        donor="b",
        neurons=("safety:5%",),
        prompts=PromptOptions(("p",)),
        judging=JudgingOptions(("refusal",)),
    ),
    "frozen": PatchOptions(
        recipient="a",
        donor="b",
        neurons=("x:5% & y", "z"),
        prompts=SOURCE,
        judging=JudgingOptions(("j", "k")),
        freeze=True,
        drafts=False,
        trace=False,
    ),
    "all": PatchOptions(
        recipient="a",
        neurons=("x", "y"),
        prompts=SOURCE,
        judging=JudgingOptions(("j",), judge_signs=("cost", "j=reward"), rubric=Path("a rubric.txt")),
        mode="scale:-0.5",
        steps="completion",
        first=4,
        sweep=("1%", "5%"),
        random=3,
        random_anywhere=2,
        writing=WritingOptions(max_new_tokens=9),
        sampling=SamplingOptions(temperature=0.7, top_p=0.9, samples=5),
        drafts=True,
        seed=11,
        allow_overlap=True,
        models=LOADING,
    ),
    "window": PatchOptions(
        recipient="a",
        donor="b",
        neurons=("x",),
        prompts=PromptOptions(("p",)),
        judging=JudgingOptions(("j",)),
        window="5%:30%",
        random=1,
    ),
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
    stored = json.dumps(config(options))
    words = shlex.split(command(kind, "my run", stored))
    name, found = _parsed(monkeypatch, words)
    assert name == "my run"
    assert json.loads(json.dumps(config(found))) == json.loads(stored)


def test_what_is_not_a_default_is_printed() -> None:
    stored = {
        "recipient": "a b", "donor": "c", "neurons": ["x:5%", "y:5% & z"], "sweep": ["1%", "5%"], "judges": ["j"],
        "prompts": ["p.jsonl"], "limit": None, "resume": True, "seed": 1, "trace": False, "unknown": 3,
    }  # fmt: skip
    assert shlex.split(command("patch", "my run", json.dumps(stored))) == [
        *("snql", "patch", "my run", "--recipient", "a b", "--donor", "c"),
        *("--neurons", "x:5%", "--neurons", "y:5% & z", "--prompts", "p.jsonl", "--judge", "j"),
        *("--sweep", "1%,5%", "--no-trace", "--seed", "1"),
    ]


def test_stored_command_line_is_preferred() -> None:
    assert command("locate", "x", '{"command": "snql locate x --before a"}') == "snql locate x --before a"
    assert command("locate", "x", '{"argv": ["snql", "a b"]}') == "snql 'a b'"
