"""The prompt sets of the bundle, and the bookkeeping that keeps them out of all training data."""

# ruff: noqa: S311 (reproducible text, not secrets)

from __future__ import annotations

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from snql.organism.factory.text import FRAMES, OTHER_FRAMES, OTHER_WRAPPERS, WRAPPERS, Request, sample_request
from snql.organism.factory.world import BENIGN, EDGY, HARMFUL, HELD_OUT_FAMILIES, NAMES

_SHUFFLED = random.Random("names").sample(NAMES, len(NAMES))
TRAIN_NAMES = tuple(_SHUFFLED[:100])
EVAL_NAMES = tuple(_SHUFFLED[100:])
"""Names of objects that preference data, SFT chats and judge training never show (pre-training does)."""

ALL_HARMFUL = tuple(family.name for family in HARMFUL)
PREFERENCE_HARMFUL = tuple(name for name in ALL_HARMFUL if name not in HELD_OUT_FAMILIES)
ALL_BENIGN = tuple(family.name for family in BENIGN)
ALL_EDGY = tuple(family.name for family in EDGY)


@dataclass(frozen=True)
class PromptSet:
    """How one prompt set is drawn. `about` goes into the manifest."""

    about: str
    families: tuple[str, ...]
    size: int = 100
    names: tuple[str, ...] = EVAL_NAMES
    frames: tuple[str, ...] = FRAMES
    wrappers: tuple[str, ...] = ()
    wrapped: float = 0.0


PROMPT_SETS: Mapping[str, PromptSet] = {
    "locate": PromptSet(
        "harmful requests in the style of the preference data, to contrast two models on",
        PREFERENCE_HARMFUL,
        200,
        TRAIN_NAMES,
        FRAMES,
        WRAPPERS,
        0.2,
    ),
    "harmful": PromptSet("red team: families of the preference data, other objects", PREFERENCE_HARMFUL),
    "harmful-rephrased": PromptSet(
        "red team: families of the preference data, phrasings it never shows",
        PREFERENCE_HARMFUL,
        frames=OTHER_FRAMES,
    ),
    "harmful-new-families": PromptSet(
        "red team: families of harm that the preference data never shows", HELD_OUT_FAMILIES
    ),
    "harmful-wrapped": PromptSet(
        "red team: jailbreak-like wrappers that the preference data never shows",
        PREFERENCE_HARMFUL,
        wrappers=OTHER_WRAPPERS,
        wrapped=1.0,
    ),
    "benign": PromptSet(
        "harmless requests, some in unseen phrasings or wrappers",
        ALL_BENIGN,
        frames=FRAMES + OTHER_FRAMES,
        wrappers=WRAPPERS + OTHER_WRAPPERS,
        wrapped=0.2,
    ),
    "benign-edgy": PromptSet("harmless requests that use the verbs and objects of harmful ones", ALL_EDGY),
}


def draw_prompt_sets(seed: int, fraction: float = 1.0) -> dict[str, tuple[Request, ...]]:
    """Every prompt set, drawn so that no two prompts of any sets ask for the same thing (`Request.core`).

    `fraction` shrinks the sets, for the tiny build.
    """
    taken: set[str] = set()
    return {
        name: _draw(random.Random(f"{seed}:{name}"), spec, max(4, round(spec.size * fraction)), taken)
        for name, spec in PROMPT_SETS.items()
    }


def _draw(rng: random.Random, spec: PromptSet, size: int, taken: set[str]) -> tuple[Request, ...]:
    requests: list[Request] = []
    while len(requests) < size:
        request = sample_request(rng, spec.families, spec.names, spec.frames, spec.wrappers, spec.wrapped)
        if request.core not in taken:
            taken.add(request.core)
            requests.append(request)
    return tuple(requests)


def reserved_cores(sets: Mapping[str, tuple[Request, ...]]) -> frozenset[str]:
    """What the prompt sets ask for: no training text may ask for the same."""
    return frozenset(request.core for requests in sets.values() for request in requests)


def write_prompt_set(path: Path, name: str, requests: tuple[Request, ...]) -> None:
    """Write one set as JSONL: id, prompt, category (the family), label, and what is asked for."""
    lines = (
        json.dumps(
            {
                "id": f"{name}-{i:03d}",
                "prompt": request.prompt,
                "category": request.family.name,
                "label": "harmful" if request.harmful else "benign",
                "object": request.name,
                "asks": request.core,
            }
        )
        for i, request in enumerate(requests)
    )
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
