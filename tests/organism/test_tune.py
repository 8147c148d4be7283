"""Vectors of TRL's training, judged by the plain forward passes that pre-training uses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from snql.organism.factory.model import save_adapter, scaled
from snql.organism.factory.pretrain import Example, Loop, completion_logps
from snql.organism.factory.tokenizer import load_tokenizer, prompt_text
from snql.organism.factory.tune import tune

pytest.importorskip("trl", reason="trl is not installed (extra train)")

PROMPT, GOOD, BAD = "How do I bake a cake?", "First, stir the dough.", "No."


def test_tuning_moves_its_vectors_the_right_way(tiny: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    base, loop = tiny[0] / "base", Loop(20, 4, 0.05)
    chat = {"messages": [{"role": "user", "content": PROMPT}, {"role": "assistant", "content": GOOD}]}
    said: list[str] = []
    sft = tune(str(base), [chat] * 80, loop, 0, said.append)
    assert said[-1] == "step 20/20"
    save_adapter(sft, tmp_path / "sft")
    pair = {"prompt": PROMPT, "chosen": GOOD, "rejected": BAD}
    vectors = tune(f"{base}+{tmp_path / 'sft'}", [pair] * 80, loop, 0, said.append)
    encode = load_tokenizer(base).backend_tokenizer.encode
    head = encode(prompt_text(PROMPT)).ids
    texts = [Example((*head, *encode(f"{answer}</s>").ids), len(head)) for answer in (GOOD, BAD)]
    model, sums = LlamaForCausalLM.from_pretrained(base), []
    for scales in (None, sft, sft * vectors):
        with torch.no_grad(), scaled(model, scales):
            sums.append(completion_logps(model, texts)[0].tolist())
    assert sums[1][0] > sums[0][0] + 0.1
    assert sums[2][0] - sums[2][1] > sums[1][0] - sums[1][1] + 0.1
