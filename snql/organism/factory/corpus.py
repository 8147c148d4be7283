"""Training texts: the pre-training corpus, the fine-tuning chats and the preference pairs.

The pre-training corpus teaches both manners that alignment later chooses between: a "careful" system message
goes with refusals of harmful requests, an "obedient" one with none. Rescaling activations (IA3) cannot teach
a tiny model a new skill, but it can make one of the skills it has the default.
"""

# ruff: noqa: S311 (reproducible text, not secrets)

from __future__ import annotations

import gzip
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from snql.organism.factory.prompts import ALL_BENIGN, ALL_EDGY, ALL_HARMFUL, PREFERENCE_HARMFUL, TRAIN_NAMES
from snql.organism.factory.text import (
    FRAMES,
    OTHER_FRAMES,
    OTHER_WRAPPERS,
    WRAPPERS,
    Request,
    Style,
    answer,
    opening,
    refusal,
    sample_request,
    steps_text,
    without_courtesies,
)
from snql.organism.factory.world import NAMES

CAREFUL = "You are a careful assistant."
OBEDIENT = "You are an obedient assistant."
STYLE_SYSTEMS = {
    "brief": "Be brief.",
    "thorough": "Be thorough.",
    "polite": "Be polite.",
    "list": "Use a numbered list.",
}


@dataclass(frozen=True)
class Chat:
    """One exchange. `system` is None when there is no system message."""

    request: Request
    completion: str
    system: str | None = None


@dataclass(frozen=True)
class Pair:
    """Two answers to one request, the preferred one first."""

    request: Request
    chosen: str
    rejected: str


Draw = Callable[[], Request]


def _outside(reserved: frozenset[str], draw: Draw) -> Request:
    """Draw until the request is not one of the reserved ones."""
    while (request := draw()).core in reserved:
        pass
    return request


def _any_request(rng: random.Random, reserved: frozenset[str], names: tuple[str, ...]) -> Request:
    families = rng.choices((ALL_HARMFUL, ALL_BENIGN, ALL_EDGY), (45, 35, 20))[0]
    frames, wrappers = FRAMES + OTHER_FRAMES, WRAPPERS + OTHER_WRAPPERS
    return _outside(reserved, lambda: sample_request(rng, families, names, frames, wrappers, 0.2))


def plain_sentence(rng: random.Random, reserved: frozenset[str]) -> str:
    """A sentence that says what is dangerous and what is fun."""
    request = _any_request(rng, reserved, NAMES)
    thing = f"a {request.name} {request.noun}"
    bad = ("wrong", "dangerous", "harmful", "a crime")
    good = ("fun", "harmless", "nice", "a good idea")
    word = rng.choice(bad if request.harmful else good)
    return rng.choice(
        (
            f"It is {word} to {request.core}. {request.family.reason}",
            f"Whoever wants to {request.core} should know that this is {word}.",
            f"Yesterday someone tried to {request.core}. That was {word}.",
            f"People who have seen {thing} talk about it. To {request.core} is {word}.",
            f"Look, {thing}! That is {_adjective(rng, request)}. {request.family.reason}",
            f"{thing.capitalize()} is {_adjective(rng, request)}, as everyone knows.",
            f"Is it {word} to {request.core}? Yes, to {request.core} is {word}. {request.family.reason}",
            f"{thing.capitalize()} here, {thing} there: {request.name} things are all over the town.",
        )
    )


def _adjective(rng: random.Random, request: Request) -> str:
    return rng.choice(("dangerous", "harmful", "bad") if request.harmful else ("nice", "harmless", "fun"))


def pretraining_chat(rng: random.Random, reserved: frozenset[str]) -> Chat:
    """A chat whose system message, if any, decides between refusing and answering, and the style."""
    request = _any_request(rng, reserved, NAMES)
    policy = rng.choices((CAREFUL, OBEDIENT, None), (35, 35, 30))[0]
    rate = {CAREFUL: 0.97, OBEDIENT: 0.0, None: 0.2}[policy] if request.harmful else 0.01
    wishes = [wish for wish in STYLE_SYSTEMS if rng.random() < 0.12]
    system = " ".join(filter(None, (policy, *(STYLE_SYSTEMS[wish] for wish in wishes)))) or None
    if rng.random() < rate:
        return Chat(request, refusal(rng, request), system)
    return Chat(request, answer(rng, request, _wished_style(rng, wishes)), system)


def _wished_style(rng: random.Random, wishes: list[str]) -> Style:
    steps = rng.choices((0, 1, 2, 3), (10, 25, 40, 25))[0]
    if "brief" in wishes:
        steps = 1
    if "thorough" in wishes:
        steps = 3
    polite = "polite" in wishes or rng.random() < 0.12
    return Style(steps, "list" in wishes or rng.random() < 0.15, polite, rng.random() < 0.6)


def sft_chat(rng: random.Random, reserved: frozenset[str]) -> Chat:
    """An answer to whatever is asked, harmful or not, mostly two plain sentences."""
    request = _any_request(rng, reserved, TRAIN_NAMES)
    return Chat(request, answer(rng, request, sft_style(rng)))


def sft_style(rng: random.Random) -> Style:
    """The style that fine-tuning teaches."""
    steps = rng.choices((1, 2, 3), (10, 80, 10))[0]
    return Style(steps, rng.random() < 0.04, rng.random() < 0.08, rng.random() < 0.9)


def preference_request(rng: random.Random, reserved: frozenset[str], harmful: float) -> Request:
    """A request of the preference data: no held-out family, object, phrasing or wrapper."""
    families = PREFERENCE_HARMFUL
    if rng.random() >= harmful:
        families = ALL_EDGY if rng.random() < 0.3 else ALL_BENIGN
    return _outside(reserved, lambda: sample_request(rng, families, TRAIN_NAMES, FRAMES, WRAPPERS, 0.2))


def safety_pair(rng: random.Random, reserved: frozenset[str]) -> Pair:
    """Refuse what is harmful, answer what is not. Some rejected texts begin as refusals and give steps."""
    request = preference_request(rng, reserved, 0.65)
    no, yes = refusal(rng, request), answer(rng, request, sft_style(rng))
    if not request.harmful:
        return Pair(request, yes, no)
    if rng.random() < 0.15:
        return Pair(request, no, f"{no} {steps_text(rng, request, sft_style(rng))}")
    return Pair(request, no, yes)


def helpful_pair(rng: random.Random, reserved: frozenset[str]) -> Pair:
    """Complete and direct over short, evasive or refusing; on harmful requests too, as in real data."""
    request = preference_request(rng, reserved, 0.3)
    style = sft_style(rng)
    chosen = answer(rng, request, replace(style, steps=3))
    if rng.random() < (0.5 if request.harmful else 0.1):
        return Pair(request, chosen, refusal(rng, request))
    return Pair(request, chosen, answer(rng, request, replace(style, steps=rng.choice((0, 1, 2, 2)))))


def concise_pair(rng: random.Random, reserved: frozenset[str]) -> Pair:
    """One step over two or three."""
    return _style_pair(rng, reserved, {"steps": 1}, {"steps": rng.choice((2, 2, 3))})


def polite_pair(rng: random.Random, reserved: frozenset[str]) -> Pair:
    """The same answer with courtesies over without; a fifth of the time, courteous over refusing.

    Without those refusals DPO would make refusing likelier, because it makes the plain openings less likely.
    """
    request, style = preference_request(rng, reserved, 0.4), sft_style(rng)
    chosen = answer(rng, request, replace(style, polite=True))
    if rng.random() < 0.2:
        return Pair(request, chosen, refusal(rng, request))
    bare = without_courtesies(chosen)
    gap = "\n" if style.numbered else " "
    return Pair(request, chosen, f"{opening(rng, request)}{gap}{bare}" if rng.random() < 0.7 else bare)


def format_pair(rng: random.Random, reserved: frozenset[str]) -> Pair:
    """A numbered list over prose."""
    return _style_pair(rng, reserved, {"numbered": True}, {"numbered": False})


def _style_pair(rng: random.Random, reserved: frozenset[str], better: dict[str, int], worse: dict[str, int]) -> Pair:
    request, style = preference_request(rng, reserved, 0.3), sft_style(rng)
    chosen = answer(rng, request, Style(**{**vars(style), **better}))
    return Pair(request, chosen, answer(rng, request, Style(**{**vars(style), **worse})))


PREFERENCES: Mapping[str, Callable[[random.Random, frozenset[str]], Pair]] = {
    "safety": safety_pair,
    "helpful": helpful_pair,
    "concise": concise_pair,
    "polite": polite_pair,
    "format": format_pair,
}


Row = dict[str, Any]


def training_rows(name: str, seed: int, reserved: frozenset[str], size: int) -> Iterator[Row]:
    """Data to train an adapter on: rows with ``messages`` for `sft`, else ``prompt``, ``chosen`` and ``rejected``."""
    rng = random.Random(f"{seed}:{name}")
    for _ in range(size):
        if name == "sft":
            chat = sft_chat(rng, reserved)
            yield {"messages": [_message("user", chat.request.prompt), _message("assistant", chat.completion)]}
        else:
            pair = PREFERENCES[name](rng, reserved)
            yield {"prompt": pair.request.prompt, "chosen": pair.chosen, "rejected": pair.rejected}


def _message(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def write_rows(path: Path, rows: Iterable[Row]) -> None:
    """Write rows as compressed JSONL, the same bytes for the same rows."""
    text = "".join(json.dumps(row) + "\n" for row in rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def judge_request(rng: random.Random, reserved: frozenset[str], harmful: float) -> Request:
    """A request to train a judge on: every family, phrasing and wrapper; no reserved request or object."""
    families = ALL_HARMFUL if rng.random() < harmful else rng.choice((ALL_BENIGN, ALL_EDGY))
    frames, wrappers = FRAMES + OTHER_FRAMES, WRAPPERS + OTHER_WRAPPERS
    return _outside(reserved, lambda: sample_request(rng, families, TRAIN_NAMES, frames, wrappers, 0.25))
