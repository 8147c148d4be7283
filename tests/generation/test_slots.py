"""Texts that come and go in one batch, against reading each text alone and at once."""

from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoConfig

from snql.errors import InputError
from snql.generation import slots
from snql.generation.slots import SlotStream, check_cache
from snql.models.loaded import LoadedModel


def alone(model: LoadedModel, text: list[int]) -> torch.Tensor:
    with model.switched_on() as network:
        logits: torch.Tensor = network(torch.tensor([text])).logits[0, -1]
    return logits


@pytest.mark.parametrize("spare", [1, 64])
@torch.inference_mode()
def test_logits_are_those_of_each_text_alone(
    oracle_models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch, spare: int
) -> None:
    """Random arrivals (longer and shorter than what is there), copies, departures and steps."""
    monkeypatch.setattr(slots, "_SPARE_COLUMNS", spare)
    model = oracle_models["sft"]
    generator = np.random.default_rng(3)
    stream = SlotStream(model)
    texts: list[list[int]] = []
    moves = 0
    for turn in range(60):
        if turn % 7 == 0:
            lengths = generator.integers(1, 20, generator.integers(1, 5))
            new = [generator.integers(3, 250, length).tolist() for length in lengths]
            fresh = stream.read(new, max(map(len, new)) + int(generator.integers(0, 3)))
            for row, text in enumerate(new):
                torch.testing.assert_close(fresh.logits[row, -1], alone(model, text), atol=2e-4, rtol=1e-4)
            chosen = generator.integers(0, len(new), generator.integers(1, 6)).tolist()
            stream.place(fresh, chosen)
            texts += [list(new[index]) for index in chosen]
        elif turn % 3 == 0:
            size = int(generator.integers(0, len(texts) + 3)) if len(texts) else 0
            origins = generator.integers(0, len(texts), size).tolist() if texts else []
            moves += any(slot != origin for slot, origin in enumerate(origins))
            stream.rearrange(origins)
            texts = [list(texts[origin]) for origin in origins]
        assert stream.n_rows == len(texts)
        if texts:
            tokens = generator.integers(3, 250, len(texts)).tolist()
            texts = [[*text, token] for text, token in zip(texts, tokens, strict=True)]
            found = stream.step(tokens)
            expected = torch.stack([alone(model, text) for text in texts])
            torch.testing.assert_close(found, expected, atol=3e-4, rtol=1e-4)
    assert moves > 5


@pytest.mark.parametrize(("kind", "refused"), [("qwen3_5_text", True), ("falcon_h1", True), ("gemma3_text", False)])
def test_models_with_recurrent_layers_are_refused(
    oracle_models: dict[str, LoadedModel], monkeypatch: pytest.MonkeyPatch, kind: str, refused: bool
) -> None:
    model = oracle_models["base"]
    monkeypatch.setattr(model.base.model, "config", AutoConfig.for_model(kind))
    if refused:
        with pytest.raises(InputError, match=r"mixes attention with recurrent layers, whose states snql cannot patch"):
            check_cache(model)
    else:
        check_cache(model)


@torch.inference_mode()
def test_the_cache_is_no_wider_than_the_longest_text(oracle_models: dict[str, LoadedModel]) -> None:
    stream = SlotStream(oracle_models["base"])
    stream.place(stream.read([[5] * 30, [6] * 3], 30), [0, 1])
    stream.rearrange([1])
    widths: list[Any] = []
    real = stream.model.base.model.forward

    def watched(*arguments: Any, **named: Any) -> Any:
        widths.append(named["attention_mask"].shape)
        return real(*arguments, **named)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(stream.model.base.model, "forward", watched)
        stream.step([7])
    assert widths == [(1, 4)]
