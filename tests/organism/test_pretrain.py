"""The losses and hooks against formulas written out another way."""

from __future__ import annotations

import torch
from torch.nn.functional import log_softmax

from snql.organism.factory.model import ModelSize, new_model, scaled
from snql.organism.factory.pretrain import Example, completion_logps

SIZE = ModelSize(layers=2, hidden=16, neurons=24, heads=2, vocab=40)


def test_completion_logps_sum_the_completion_only() -> None:
    torch.manual_seed(0)
    model = new_model(SIZE).requires_grad_(False)
    texts = [Example((1, 5, 6, 7, 2), 3), Example((1, 9, 2), 1)]
    sums, counts = completion_logps(model, texts)
    assert counts.tolist() == [2, 2]
    for text, total in zip(texts, sums, strict=True):
        logps = log_softmax(model(input_ids=torch.tensor([text.ids])).logits[0], dim=-1)
        expected = sum(logps[i - 1, text.ids[i]] for i in range(text.start, len(text.ids)))
        assert torch.isclose(total, torch.as_tensor(expected), atol=1e-5)


def test_scaled_changes_the_logits_and_comes_off() -> None:
    torch.manual_seed(0)
    model = new_model(SIZE).requires_grad_(False)
    ids = torch.tensor([[1, 5, 6]])
    before = model(input_ids=ids).logits
    with scaled(model, torch.full((2, 24), 3.0)):
        inside = model(input_ids=ids).logits
    for layer in model.model.layers:
        layer.mlp.down_proj.weight.data *= 3.0
    assert torch.allclose(inside, model(input_ids=ids).logits, atol=1e-5)
    assert not torch.allclose(inside, before)
    assert not any(layer.mlp.down_proj._forward_pre_hooks for layer in model.model.layers)
