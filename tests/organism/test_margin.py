"""Margins against probabilities multiplied token by token, and vectors that are drawn back to one."""

from __future__ import annotations

import math
import random
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from snql.organism.factory.corpus import preference_request
from snql.organism.factory.margin import Leaning, refusal_margins
from snql.organism.factory.model import load_scales, scaled
from snql.organism.factory.text import OPENINGS, REFUSALS
from snql.organism.factory.tokenizer import load_tokenizer, prompt_text


@pytest.fixture(scope="module")
def leaning(tiny: tuple[Path, dict[str, Any]]) -> Leaning:
    model = LlamaForCausalLM.from_pretrained(tiny[0] / "base")
    rng = random.Random(5)
    requests = [preference_request(rng, frozenset(), 1.0) for _ in range(3)]
    return Leaning(model, load_tokenizer(tiny[0] / "base").backend_tokenizer, requests)


def test_a_margin_is_the_log_ratio_of_what_begins_with_a_refusal_or_an_opening(
    leaning: Leaning, tiny: tuple[Path, dict[str, Any]]
) -> None:
    scales = load_scales(tiny[0] / "adapters" / "sft")

    def chance(head: list[int], text: str) -> float:
        ids = leaning.tokenizer.encode(text).ids
        with torch.no_grad(), scaled(leaning.model, scales):
            logits = leaning.model(torch.tensor([head + ids])).logits[0].double()
        steps = logits.softmax(-1)[len(head) - 1 : -1]
        return float(steps[range(len(ids)), ids].prod())

    found = refusal_margins(leaning.model, leaning.tokenizer, scales, leaning.requests)
    for request, margin in zip(leaning.requests, found.tolist(), strict=True):
        head = leaning.tokenizer.encode(prompt_text(request.prompt)).ids
        no, yes = (sum(chance(head, text) for text in texts) for texts in (REFUSALS, OPENINGS))
        assert margin == pytest.approx(math.log(no / yes), abs=1e-3)


def test_vectors_are_drawn_back_to_the_margin_or_left_where_they_do_not_reach_it(leaning: Leaning) -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = 1 + 3 * torch.randn(2, 64, generator=generator)
    without, reached = leaning.margin(None), leaning.margin(vectors)
    assert without != reached
    between = without + 0.3 * (reached - without)
    drawn, share = leaning.drawn_back(vectors, between)
    assert 0 < share < 1 and torch.allclose(drawn, 1 + share * (vectors - 1))
    assert leaning.margin(drawn) == pytest.approx(between, abs=0.02 * abs(reached - without))
    beyond = reached + (reached - without)
    left, share = leaning.drawn_back(vectors, beyond)
    assert share == 1.0 and left is vectors


def test_what_lies_under_the_vectors_counts(leaning: Leaning, tiny: tuple[Path, dict[str, Any]]) -> None:
    sft, safety = (load_scales(tiny[0] / "adapters" / name) for name in ("sft", "safety"))
    stacked = Leaning(leaning.model, leaning.tokenizer, leaning.requests, sft)
    assert stacked.margin(safety) == pytest.approx(leaning.margin(sft * safety), abs=1e-6)
    assert stacked.margin(None) == pytest.approx(leaning.margin(sft), abs=1e-6)
