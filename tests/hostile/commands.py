"""Bad values for every option of every command, by the option's type: drawn by seed, from the command line, the
environment and a file of options.

New commands need a line in :data:`LINES`; new options need nothing.
"""

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ..cli.test_parameters import CONTEXTS, shown

PAIR = "--before demo:sft --after demo:safety --prompts few.txt --max-new-tokens 1"
ROLES = "--recipient demo:sft --donor demo:safety --prompts few.txt --judge refusal --max-new-tokens 1"
TRAINED = "--limit 12 --held-out 1 --batch-size 11 --max-steps 1 --dry-run --device cpu"

LINES = {
    "snql": "runs",
    "snql adapter": "located:3 --base demo:sft --output adapter --no-verify",
    "snql demo": "--seed 0 --out few.txt",  # a file: nothing is run
    "snql doctor": "demo:sft --no-verify",
    "snql locate": f"new {PAIR}",
    "snql overlap": "located other",
    "snql stability": "located other",
    "snql null": "new --from located --draws 1",
    "snql patch": f"new {ROLES} --neurons located:1%",
    "snql tax": "new --safety located --helpful other --safety-model demo:safety --helpful-model demo:helpful "
    "--prompts few.txt --judge refusal --max-new-tokens 1",
    "snql judge": "patched --judge words",
    "snql divergence": "new --completions patched",
    "snql perplexity": "new --text few.txt --model demo:sft --donor demo:safety --neurons located:1%",
    "snql lm-eval": "new --tasks arc_easy --model demo:sft",
    "snql prompts": "few.txt --model demo:sft",
    "snql runs": "",
    "snql show": "patched --kind patch",
    "snql rm": "none",
    "snql neurons": "located:3",
    "snql neuron": "L1.N2",
    "snql lens": "located:3 --model demo:sft",
    "snql query": "SELECT~1",
    "snql shell": "",
    "snql compare-scorers": f"new {PAIR} --evaluate-prompts few.txt --judge refusal --scorers change-score",
    "snql view": "--db none.duckdb",  # nothing is served
    "snql report": "scores --out report",
    "snql paper": "fig2 --scale demo --dry-run",
    "snql judges": "",
    "snql judges compare": "patched refusal refusal",
    "snql guard": "",
    "snql guard train": "new --model demo:sft --neurons located:1% --prompts few.txt --benign other.txt "
    "--judge by-set --plain --max-new-tokens 1",
    "snql guard compare": "new --model demo:sft --neurons located:1% --prompts harm.txt --benign benign.txt "
    "--families none --judge by-set --max-new-tokens 1 --random 0 --repeats 0",
    "snql guard test": "guarded --prompts more.txt --benign other.txt",
    "snql guard run": "guarded --prompt Hello --max-new-tokens 1",
    "snql train": "",
    "snql train sft": f"out --base demo:base --data demo:sft {TRAINED}",
    "snql train dpo": f"out --model demo:sft --data demo:safety {TRAINED}",
    "snql train pairs": "pairs.jsonl --model demo:sft --refuse few.txt --answer other.txt --max-new-tokens 1",
    "snql sets": "",
    "snql sets save": "new located:3",
    "snql sets show": "kept",
    "snql sets rm": "none",
    "snql db": "",
    "snql db init": "",
    "snql db migrate": "",
    "snql db check": "",
    "snql db schema": "",
    "snql db export": "exported",
    "snql db import": "none",
    "snql db import-scores": "scores.npy imported",
}
"""A sound line of each command (``~`` for a blank within a word); of those that run models, a small one."""

DIGITS = "9" * 5_000
LONG = "x" * 70_000
NUMBERS = (
    *("", " ", "x", "nan", "1,5", "0x10", "-1", DIGITS, "-" + DIGITS, "\u0663", "1_0", "1 2", "--"),
    *("99999999999999999999", "0", "-0"),
)
WORDS = (
    *("", " ", LONG, "\n", "\x1b[31m\x07", "\u202eabc", "-", "%s{}{0}", "'; DROP TABLE runs; --", "[" * 3_000),
    *(DIGITS, "@", "@x", ":", "::", "a:b:c", "hub:", "demo:", "http://x/y", "+", "demo:sft+", "1,,2", ",", "("),
    *("sql(SELECT 1)", "{{ 1/0 }}", "$(id)", "*", "\\", '"', "null", "../..", "/", "/dev/null", "é" * 300),
    *("\u540d\u524d", "0", "-1", "nan", "auto", "all", "located", "python:os:system", "few.txt", "bytes.bin", "{"),
    *("=", "a=", "=b", "a=b=c", "#", "~", "~x"),
)
PATHS = (
    *(
        "",
        " ",
        ".",
        "..",
        "/",
        "/dev/null",
        "/dev/full",
        "/dev/zero",
        "no/such/folder",
        "x" * 300,
        "snql.duckdb",
        "few.txt",
    ),
    *("snql.duckdb/x", "few.txt/x", "bytes.bin", "link", "loop", "\n", "-", "~x", "\x1b[31m", "/proc/self/x"),
    *("folder", LONG),
)
KINDS: dict[str, tuple[str, ...]] = {
    "int": (*NUMBERS, "1.5", "1e3"),
    "float": (*NUMBERS, "inf", "-inf", "1e999", "-1e308", "1.5.2"),
    "str": WORDS,
    "Path": PATHS,
    "bool": ("", "x", "2", "maybe", LONG),
}
TYPED: tuple[Any, ...] = (
    "x",
    "",
    -1,
    0,
    10**30,
    1.5,
    "nan",
    True,
    [],
    [[]],
    [1, "x"],
    ["\\u0000"],
    "\\u0000",
    "\\ud7ff",
    "1979-05-27",
)
"""Values of a file of options, which have types of their own."""

ROUTES = ("line", "line", "line", "environment", "file")
SKIPPED = ("help", "install_completion", "show_completion", "version", "trust_remote_code", "ray_address")


@dataclass(frozen=True)
class Tried:
    """One line to run: what is wrong in it, its words, and the variables and file of options that go with it."""

    command: str
    option: str
    kind: str
    value: str
    words: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    config: str | None = None

    def __str__(self) -> str:
        return f"{self.command} {self.option} ({self.kind}) = {self.value[:60]!r}"


def generated(each: int, seed: int = 0) -> Iterator[Tried]:
    """For every option and argument of every command ``each`` bad values, by routes drawn at random."""
    draw = random.Random(seed)
    for path in LINES:
        context = CONTEXTS[path]
        names = path.split()[1:]
        words = [word.replace("~", " ") for word in LINES[path].split()]
        for name, about in shown(context).items():
            if name in SKIPPED:
                continue
            kind = about["type"].removeprefix("list[").removesuffix("]")
            for value in draw.sample(KINDS[kind], min(each, len(KINDS[kind]))):
                route = draw.choice(ROUTES) if str(about.get("flags", "")).startswith("-") else "line"
                yield _tried(names, words, name, about | {"type": kind}, value, route, draw)


def _tried(
    names: list[str], words: list[str], name: str, about: dict[str, Any], value: str, route: str, draw: random.Random
) -> Tried:
    path = " ".join(["snql", *names])
    if route == "line":
        return Tried(path, name, f"{about['type']} on the line", value, tuple(_line(names, words, about, value)))
    flag = about["flags"].split("/")[0].split()[0]
    without = (*names, *_without(words, flag))
    if route == "environment":
        value = value.replace("\x00", "")
        return Tried(path, name, f"{about['type']} in the environment", value, without, {about["env"]: value})
    typed = draw.choice((value, *TYPED))
    table = f"[{'.'.join(names)}]\n" if names else ""
    config = f"{table}{flag[2:]} = {_toml(typed)}\n"
    return Tried(path, name, f"{about['type']} in a file", str(typed), ("--config", "own.toml", *without), {}, config)


def _line(names: list[str], words: list[str], about: dict[str, Any], value: str) -> list[str]:
    flags = about.get("flags") or ""
    if not flags.startswith("-"):
        given = [value, *words[1:]] if words and not words[0].startswith("--") else [value, *words]
        return [*names, *given]
    flag = flags.split("/")[0].split()[0]
    given = [f"{flag}={value}"] if about["type"] == "bool" else [flag, value]
    return [*names, *_without(words, flag), *given] if names else [*given, *words]


def _without(words: list[str], flag: str) -> list[str]:
    """The words but for an option and its value."""
    if flag not in words:
        return words
    at = words.index(flag)
    alone = at + 1 == len(words) or words[at + 1].startswith("--")
    return words[:at] + words[at + (1 if alone else 2) :]


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str) and value.startswith("\\u"):
        return f'"{value}"'
    if isinstance(value, list):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)
