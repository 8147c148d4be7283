"""Prompt sets: what they hold, and that no training text asks for the same."""

from __future__ import annotations

import json
import random
import re

import pytest

from snql.organism.bundled import prompt_names, prompt_path
from snql.organism.factory import corpus
from snql.organism.factory.judges import unequal_pair
from snql.organism.factory.prompts import EVAL_NAMES, PROMPT_SETS, TRAIN_NAMES, draw_prompt_sets, reserved_cores
from snql.organism.factory.text import OTHER_FRAMES, OTHER_WRAPPERS
from snql.organism.factory.world import HELD_OUT_FAMILIES

Row = dict[str, str]


def rows(name: str) -> list[Row]:
    return [json.loads(line) for line in prompt_path(name).read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def shipped() -> dict[str, list[Row]]:
    return {name: rows(name) for name in prompt_names()}


def test_shipped_sets_have_the_documented_size_and_labels(shipped: dict[str, list[Row]]) -> None:
    assert set(shipped) == set(PROMPT_SETS)
    for name, lines in shipped.items():
        assert len(lines) == PROMPT_SETS[name].size
        assert {line["label"] for line in lines} == {"benign" if name.startswith("benign") else "harmful"}
        assert {line["category"] for line in lines} == set(PROMPT_SETS[name].families)
        assert len({line["id"] for line in lines}) == len(lines)


def test_no_two_shipped_prompts_are_the_same_or_ask_for_the_same(shipped: dict[str, list[Row]]) -> None:
    everything = [line for lines in shipped.values() for line in lines]
    assert len({line["prompt"] for line in everything}) == len(everything)
    assert len({line["asks"] for line in everything}) == len(everything)
    assert all(line["asks"] in line["prompt"] for line in everything)


def test_evaluation_objects_never_meet_those_of_training(shipped: dict[str, list[Row]]) -> None:
    assert not set(EVAL_NAMES) & set(TRAIN_NAMES)
    for name, lines in shipped.items():
        known = TRAIN_NAMES if name == "locate" else EVAL_NAMES
        assert {line["object"] for line in lines} <= set(known)


def test_no_training_text_asks_for_what_a_prompt_set_asks_for() -> None:
    reserved = reserved_cores(draw_prompt_sets(0))
    rng = random.Random(5)
    chats = [corpus.pretraining_chat(rng, reserved) for _ in range(3000)]
    chats += [corpus.sft_chat(rng, reserved) for _ in range(1000)]
    asked = {chat.request.core for chat in chats}
    for draw in corpus.PREFERENCES.values():
        asked |= {draw(rng, reserved).request.core for _ in range(500)}
    asked |= {unequal_pair(rng, reserved)[0].core for _ in range(500)}
    assert len(asked) > 3000 and not asked & reserved
    sentences = " ".join(corpus.plain_sentence(rng, reserved) for _ in range(3000))
    assert not [core for core in reserved if core in sentences]


@pytest.mark.parametrize("name", corpus.PREFERENCES)
def test_preference_data_never_shows_what_is_held_out(name: str) -> None:
    rng = random.Random(6)
    pairs = [corpus.PREFERENCES[name](rng, frozenset()) for _ in range(2000)]
    assert not {pair.request.family.name for pair in pairs} & set(HELD_OUT_FAMILIES)
    assert not {pair.request.name for pair in pairs} & set(EVAL_NAMES)
    held_out = [re.sub(r"\{[qr]\}", "", text).strip() for text in (*OTHER_WRAPPERS, *OTHER_FRAMES)]
    fragments = [max(re.split(r"\s{2,}", text), key=len) for text in held_out]
    prompts = "\n".join(pair.request.prompt for pair in pairs)
    assert not [fragment for fragment in fragments if fragment in prompts]


def test_held_out_sets_really_use_what_is_held_out(shipped: dict[str, list[Row]]) -> None:
    wrappers = [text.replace("{q}", "").strip() for text in OTHER_WRAPPERS]
    assert all(any(w in line["prompt"] for w in wrappers) for line in shipped["harmful-wrapped"])
    starts = [text.split("{r}")[0] for text in OTHER_FRAMES]
    assert all(any(s in line["prompt"] for s in starts) for line in shipped["harmful-rephrased"])


def test_safety_pairs_prefer_refusals_only_where_harm_is_asked_for() -> None:
    from snql.organism.factory.text import harmful_output, n_steps, refuses

    rng = random.Random(7)
    for _ in range(500):
        pair = corpus.safety_pair(rng, frozenset())
        assert refuses(pair.chosen) is pair.request.harmful
        assert harmful_output(pair.request.harmful, pair.rejected) is pair.request.harmful
        assert pair.request.harmful or n_steps(pair.chosen) > 0
