"""The command lines that the page prints: the command line reads them back as the same configuration."""

import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from snql.cli.app import run

from snql.capability.options import (
    DivergenceOptions,
    LmEvalOptions,
    PerplexityOptions,
    SubjectOptions,
    TextOptions,
)
from snql.contrast.options import LocateOptions
from snql.db.guards import StoredGuard
from snql.errors import InputError
from snql.generation.options import SamplingOptions, WritingOptions
from snql.guard.options import GuardCompareOptions, GuardOptions, GuardTestOptions
from snql.guard.testing import config_of
from snql.judges.options import JudgingOptions
from snql.lens.options import LensOptions
from snql.models.options import LoadOptions
from snql.options import config
from snql.patching.options import PatchOptions
from snql.prompts.options import PromptOptions
from snql.reporting.reproduce import VERBS, command

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
LOCATES["given"] = LocateOptions(before="a", after="b", prompts=PromptOptions(("p",)), completions="told file.jsonl")
LOCATES["writer"] = LocateOptions(before="a", after="b", prompts=PromptOptions(("p",)), completions_by="owner/c")
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


SUBJECT = SubjectOptions(
    model="a", donor="b c", neurons=("x:5%", "y"), sweep=("1%", "5%"), random=2, seed=4, models=LOADING
)
PLAIN = SubjectOptions(model="a", donor="b", neurons=("x",), mode="donor", random=1, models=LOADING)
READ = PromptOptions(template="tulu", system="Be kind.", limit=5, sample=7)
GUARD = GuardOptions(
    model="a",
    neurons="x:5%",
    prompts=SOURCE,
    benign=("demo:benign", "b.jsonl"),
    judge="demo:cost",
    threshold=0.5,
    refuse_from=0.75,
    plain=True,
    sizes=("1%", "5%"),
    writing=WritingOptions(max_new_tokens=9),
    allow_overlap=True,
    seed=2,
)
COMPARED = GuardCompareOptions(guard=replace(GUARD, plain=False, sizes=()), families="dataset", folds=3, repeats=0)
TESTED = GuardTestOptions(
    prompts=PromptOptions(("p q",), limit=3),
    benign=("demo:benign",),
    costs=True,
    after="b",
    allow_overlap=True,
    seed=3,
    run="my run",
)
STORED = StoredGuard(
    name="g h",
    run_id=7,
    threshold=0.5,
    about={"model": "a", "facts": {"datasets": ["p"], "judge": "demo:cost", "label_threshold": 0.0}},
    config={"max_new_tokens": 48},
)
OTHERS: list[tuple[str, dict[str, Any], Callable[[Any], dict[str, Any]]]] = [
    (
        "perplexity",
        config(PerplexityOptions(subject=SUBJECT, text=TextOptions(text=("t.txt",), join=True), window=64, stride=8)),
        config,
    ),
    (
        "lm-eval",
        LmEvalOptions(subject=PLAIN, tasks=("gsm8k", "mmlu"), limit=3, patched_only=True).config(),
        LmEvalOptions.config,
    ),
    (
        "divergence",
        config(DivergenceOptions(completions="other", neurons=("x:5%",), donor="b", mode="zero", random=2, seed=5)),
        config,
    ),
    ("lens", LensOptions(neurons="x:20", model="a", top=5).config(), LensOptions.config),
    (
        "lens",
        LensOptions(neurons="x:20", model="a", harmful=("h", "i"), harmless=("j",), layer=1, prompts=READ).config(),
        LensOptions.config,
    ),
    ("guard", GUARD.config(), GuardOptions.config),
    (
        "guard",
        GuardOptions(model="a", neurons="x", from_run="r", judge="demo:cost").config(),
        GuardOptions.config,
    ),
    ("guard-test", config_of(TESTED, STORED), lambda options: config_of(options, STORED)),
    ("guard-compare", COMPARED.config(), GuardCompareOptions.config),
]
CALLED = {
    "locate": "snql.contrast.locate.locate",
    "patch": "snql.patching.patch.patch",
    "perplexity": "snql.capability.perplexity.perplexity",
    "lm-eval": "snql.capability.lm_eval.lm_eval",
    "divergence": "snql.capability.divergence.divergence",
    "lens": "snql.lens.lens.lens",
    "guard": "snql.guard.learn.train",
    "guard-test": "snql.guard.testing.test",
    "guard-compare": "snql.guard.comparing.compare_guards",
}


def _parsed(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> tuple[str, Any]:
    """Name and options that the command line makes of the words."""
    seen: list[tuple[str, Any]] = []

    def stop(_db: object, name: str, options: Any, **_: object) -> None:
        seen.append((name, options))
        raise InputError("seen")

    for function in CALLED.values():
        monkeypatch.setattr(function, stop)
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


@pytest.mark.parametrize(("kind", "stored", "config_of"), OTHERS, ids=[kind for kind, *_ in OTHERS])
def test_every_kind_of_run_can_be_repeated(
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
    stored: dict[str, Any],
    config_of: Callable[[Any], dict[str, Any]],
) -> None:
    name, found = _parsed(monkeypatch, shlex.split(command(kind, "my run", json.dumps(stored))))
    assert (found.run if kind == "guard-test" else name) == "my run"
    assert name == ("g h" if kind == "guard-test" else "my run")
    assert json.loads(json.dumps(config_of(found))) == json.loads(json.dumps(stored))


def test_there_is_a_command_for_every_kind() -> None:
    assert VERBS.keys() == CALLED.keys()


def test_the_mode_of_a_run_whose_own_sets_are_read_is_not_given() -> None:
    """`mode` would be refused without `neurons`; the run has its own."""
    options = config(DivergenceOptions(seed=5)) | {"recipient": "a", "donor": "b", "mode": "zero"}
    _, *words = shlex.split(command("divergence", "r", json.dumps(options)))
    assert words == ["divergence", "r", "--recipient", "a", "--donor", "b", "--seed", "5"]


def test_what_is_not_a_default_is_printed() -> None:
    stored = {
        "recipient": "a b",
        "donor": "c",
        "neurons": ["x:5%", "y:5% & z"],
        "sweep": ["1%", "5%"],
        "judges": ["j"],
        "prompts": ["p.jsonl"],
        "limit": None,
        "resume": True,
        "seed": 1,
        "trace": False,
        "unknown": 3,
    }
    assert shlex.split(command("patch", "my run", json.dumps(stored))) == [
        *("snql", "patch", "my run", "--recipient", "a b", "--donor", "c"),
        *("--neurons", "x:5%", "--neurons", "y:5% & z", "--prompts", "p.jsonl", "--judge", "j"),
        *("--sweep", "1%,5%", "--no-trace", "--seed", "1"),
    ]


def test_stored_command_line_is_preferred() -> None:
    assert command("locate", "x", '{"command": "snql locate x --before a"}') == "snql locate x --before a"
    assert command("locate", "x", '{"argv": ["snql", "a b"]}') == "snql 'a b'"
