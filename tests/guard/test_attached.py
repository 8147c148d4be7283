"""A guard in a Hugging Face model, against forward passes of its own with hooks of its own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from transformers import MixtralConfig, MixtralForCausalLM

from snql.errors import InputError, ModelError, RunError
from snql.guard.model import Guard
from snql.neurons.sets import Shape

from .conftest import made

TEXTS = ((1, 50, 60, 70, 80), (1, 90), (1, 33, 44, 55), (1, 7, 7, 7, 7, 7, 7))
REFUSAL = (100, 101, 102)
END = 2


@pytest.fixture(scope="module")
def model(tiny_llama: Path, plain_model: Callable[[Path], Any]) -> Any:
    return plain_model(tiny_llama)


def batch(texts: Sequence[Sequence[int]] = TEXTS, *, left: bool = True) -> dict[str, torch.Tensor]:
    width = max(map(len, texts))
    pads = [[0] * (width - len(text)) for text in texts]
    ids = [[*pad, *text] if left else [*text, *pad] for pad, text in zip(pads, texts, strict=True)]
    mask = [
        [0] * len(pad) + [1] * len(text) if left else [1] * len(text) + [0] * len(pad)
        for pad, text in zip(pads, texts, strict=True)
    ]
    return {"input_ids": torch.tensor(ids), "attention_mask": torch.tensor(mask)}


def last_activations(network: Any, text: Sequence[int], n_layers: int = 3) -> torch.Tensor:
    """Down-projection inputs at the last token of one unpadded text, layer by layer, by hooks of this test."""
    seen: dict[int, torch.Tensor] = {}
    handles = []
    for layer in range(n_layers):
        module = network.model.layers[layer].mlp.down_proj
        base = getattr(module, "base_layer", module)
        handles.append(
            base.register_forward_pre_hook(lambda _, args, layer=layer: seen.update({layer: args[0][0, -1]}))
        )
    with torch.inference_mode():
        network(torch.tensor([text]))
    for handle in handles:
        handle.remove()
    return torch.cat([seen[layer] for layer in range(n_layers)])


def expected(guard: Guard, network: Any, texts: Sequence[Sequence[int]] = TEXTS) -> list[float]:
    """The formula written out with Python's numbers."""
    found = []
    for text in texts:
        own = last_activations(network, text)[guard.neurons.ids].double().tolist()
        part = guard.linear
        logit = part.intercept + sum(
            w * (x - m) / s for w, x, m, s in zip(part.weights, own, part.means, part.scales, strict=True)
        )
        found.append(float(1 / (1 + np.exp(-logit))))
    return found


def generate(model: Any, guard: Any, texts: Sequence[Sequence[int]] = TEXTS, **settings: Any) -> list[list[int]]:
    given = {"max_new_tokens": 6, "do_sample": False, "pad_token_id": 0} | settings
    inputs = batch(texts)
    written = model.generate(
        **inputs, **given, logits_processor=[guard.logits_processor], stopping_criteria=[guard.stopping_criteria]
    )
    rows: list[list[int]] = written[:, inputs["input_ids"].shape[1] :].tolist()
    return rows


def plain(model: Any, texts: Sequence[Sequence[int]] = TEXTS, n_tokens: int = 6) -> list[list[int]]:
    inputs = batch(texts)
    written = model.generate(**inputs, max_new_tokens=n_tokens, do_sample=False, pad_token_id=0)
    rows: list[list[int]] = written[:, inputs["input_ids"].shape[1] :].tolist()
    return rows


def test_rows_of_a_padded_batch_have_the_probabilities_of_their_texts_alone(model: Any) -> None:
    guard = made()
    wanted = expected(guard, model)
    with guard.attach(model, refusal=REFUSAL) as attached:
        generate(model, attached)
        assert attached.probabilities.tolist() == pytest.approx(wanted, abs=1e-5)
    assert 0 < sum(p >= 0.5 for p in wanted) < len(wanted)


def test_refused_rows_get_the_refusal_and_others_what_they_would_write(model: Any) -> None:
    guard = made()
    refused = [p >= 0.5 for p in expected(guard, model)]
    alone = plain(model)
    with guard.attach(model, refusal=REFUSAL) as attached:
        written = generate(model, attached)
        assert attached.refused.tolist() == refused
    for row, own, no in zip(written, alone, refused, strict=True):
        assert row == ([*REFUSAL, END, 0, 0] if no else own)
    assert plain(model) == alone  # the hooks are off


def test_a_probability_that_equals_the_threshold_is_refused(model: Any) -> None:
    guard = made()
    with guard.attach(model, refusal=REFUSAL) as attached:
        generate(model, attached)
        probabilities = attached.probabilities.tolist()
    at = sorted(probabilities)[2]
    for threshold, refused in (
        (at, [p >= at for p in probabilities]),
        (np.nextafter(at, 1), [p > at for p in probabilities]),
    ):
        with guard.attach(model, refusal=REFUSAL, threshold=threshold) as attached:
            written = generate(model, attached)
            assert attached.refused.tolist() == refused
        assert [row[: len(REFUSAL)] == list(REFUSAL) for row in written] == refused


def test_a_prefix_begins_the_answer_which_goes_on(model: Any) -> None:
    guard = made()
    refused = [p >= 0.5 for p in expected(guard, model)]
    alone = plain(model)
    with guard.attach(model, prefix=(100, 101)) as attached:
        written = generate(model, attached)
    for text, row, own, no in zip(TEXTS, written, alone, refused, strict=True):
        goes_on = plain(model, [[*text, 100, 101]], 4)[0]
        assert row == ([100, 101, *goes_on] if no else own)


def test_no_forward_pass_is_added(model: Any) -> None:
    shapes: list[tuple[int, ...]] = []
    handle = model.register_forward_pre_hook(
        lambda _, args, kwargs: shapes.append(tuple((*args, kwargs.get("input_ids"))[0].shape)), with_kwargs=True
    )
    plain(model)
    without = list(shapes)
    shapes.clear()
    with made(threshold=1.0).attach(model) as attached:
        generate(model, attached)
        decided = attached.probabilities.tolist()
        # Nor is what the prefill gave overwritten by later steps.
        assert attached.decide().tolist() == decided
    handle.remove()
    assert without == [(4, 7), *[(4, 1)] * 5]
    assert shapes == without


def test_every_generation_is_decided_anew(model: Any) -> None:
    guard = made()
    with guard.attach(model, refusal=REFUSAL) as attached:
        for texts in (TEXTS, TEXTS[::-1], TEXTS[:1], [[*TEXTS[0], plain(model, TEXTS[:1], 1)[0][0]]]):
            generate(model, attached, texts, max_new_tokens=1)
            assert attached.probabilities.tolist() == pytest.approx(expected(guard, model, texts), abs=1e-5)


@pytest.mark.parametrize("settings", [{"use_cache": False}, {"do_sample": True, "top_k": 5}])
def test_other_ways_of_generating(model: Any, settings: dict[str, Any]) -> None:
    guard = made()
    wanted = expected(guard, model)
    with guard.attach(model, refusal=REFUSAL) as attached:
        torch.manual_seed(0)
        written = generate(model, attached, **settings)
        assert attached.probabilities.tolist() == pytest.approx(wanted, abs=1e-5)
    for row, p in zip(written, wanted, strict=True):
        assert (row[:4] == [*REFUSAL, END]) == (p >= 0.5)


@pytest.mark.parametrize("given", ["input_ids", "inputs_embeds", "by place"])
def test_a_server_with_a_loop_of_its_own(model: Any, given: str) -> None:
    guard = made()
    with guard.attach(model) as attached, torch.inference_mode():
        inputs = batch()
        positions = (inputs["attention_mask"].cumsum(-1) - 1).clamp(min=0)
        ids = inputs.pop("input_ids")
        args = (ids,) if given == "by place" else ()
        named = {"input_ids": ids} if given == "input_ids" else {}
        embedded = {"inputs_embeds": model.get_input_embeddings()(ids)} if given == "inputs_embeds" else {}
        model(*args, **inputs, **named, **embedded, position_ids=positions)
        assert attached.decide().tolist() == pytest.approx(expected(guard, model), abs=1e-5)


def test_logits_are_added_up_as_numbers_of_64_bits(model: Any) -> None:
    """Weights so small that no probability is near 0 or 1, where the last digits would be lost."""
    large = made()
    guard = replace(large, linear=replace(large.linear, weights=large.linear.weights / 100))
    seen: list[torch.Tensor] = []
    handles = [
        layer.mlp.down_proj.register_forward_pre_hook(lambda _, args: seen.append(args[0][0, -1]))
        for layer in model.model.layers
    ]
    with guard.attach(model) as attached, torch.inference_mode():
        model(torch.tensor([TEXTS[0]]))
        own = torch.cat(seen)[guard.neurons.ids].numpy()
        assert attached.decide().tolist() == pytest.approx(guard.probabilities(own[None]).tolist(), rel=0, abs=1e-13)
    for handle in handles:
        handle.remove()


@pytest.mark.parametrize(("ends", "last"), [([END, 5], [END]), ([], []), (None, [])])
def test_what_follows_a_refusal(
    model: Any, monkeypatch: pytest.MonkeyPatch, ends: list[int] | None, last: list[int]
) -> None:
    """The first of several ends; without any, nothing: the row is over all the same, at once without a refusal."""
    guard, alone = made(), plain(model)
    refused = [p >= 0.5 for p in expected(guard, model)].index(True)
    monkeypatch.setattr(model.generation_config, "eos_token_id", ends)
    for refusal in (REFUSAL, ()):
        with guard.attach(model, refusal=refusal) as attached:
            (row,) = generate(model, attached, TEXTS[refused : refused + 1])
        assert row == ([*refusal, *last] or alone[refused][:1])


def test_adapters_are_read_after_their_scaling(tiny_llama: Path, tiny_adapter: Path, plain_model: Any) -> None:
    tuned = PeftModel.from_pretrained(plain_model(tiny_llama), tiny_adapter)
    guard = made()
    network = tuned.get_base_model()
    wanted = expected(guard, network)
    assert wanted != pytest.approx(expected(guard, plain_model(tiny_llama)), abs=1e-2)
    with guard.attach(tuned, refusal=REFUSAL) as attached:
        generate(tuned, attached)
        assert attached.probabilities.tolist() == pytest.approx(wanted, abs=1e-5)


def test_experts_that_a_token_was_not_sent_to_count_as_zero() -> None:
    torch.manual_seed(0)
    config = MixtralConfig(
        vocab_size=150,
        hidden_size=16,
        intermediate_size=20,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        num_local_experts=3,
        num_experts_per_tok=2,
        initializer_range=0.5,
        pad_token_id=0,
    )
    model: Any = MixtralForCausalLM(config)
    model.eval()
    guard = made(Shape(2, 60, 3), n_neurons=40)
    seen: dict[int, torch.Tensor] = {}

    def by_hand(layer: int) -> Any:
        experts = model.model.layers[layer].mlp.experts

        def hook(_: Any, args: tuple[torch.Tensor, ...]) -> None:
            hidden, chosen = args[0][-1], args[1][-1].tolist()
            rows = torch.zeros(3, 20)
            for expert in chosen:
                gate, up = (experts.gate_up_proj[expert] @ hidden).chunk(2)
                rows[expert] = torch.nn.functional.silu(gate) * up
            seen[layer] = rows.flatten()

        return experts.register_forward_pre_hook(hook)

    text = (1, 50, 60, 70)
    with guard.attach(model) as attached, torch.inference_mode():
        handles = [by_hand(layer) for layer in range(2)]
        model(torch.tensor([text]))
        for handle in handles:
            handle.remove()
        own = torch.cat([seen[0], seen[1]])[guard.neurons.ids].numpy()
        assert (own == 0).any()
        assert attached.decide().tolist() == pytest.approx(guard.probabilities(own[None]).tolist(), abs=1e-5)


def test_what_cannot_be_guarded(model: Any) -> None:
    with pytest.raises(ModelError, match="the guard reads a model with 4x40 neurons, this one has 3x40"):
        made(Shape(4, 40)).attach(model)
    with pytest.raises(InputError, match="not both: give refusal or prefix"):
        made().attach(model, refusal=(1,), prefix=(1,))
    with pytest.raises(InputError, match=r"`threshold` 1.5 is no probability"):
        made().attach(model, threshold=1.5)
    with made().attach(model) as attached:
        with pytest.raises(RunError, match="the guard has read no prompt yet"):
            attached.decide()
        with pytest.raises(RunError, match="a guard does not go with beam search: use num_beams=1"):
            generate(model, attached, num_beams=2)
        with pytest.raises(RunError, match="padded on the right"), torch.inference_mode():
            model(**batch(left=False))


def test_probabilities_that_are_not_finite_stop_the_run() -> None:
    guard = made()
    rows = np.zeros((2, 12))
    rows[1, 3] = np.nan
    with pytest.raises(RunError, match="an activation that the guard reads is not finite"):
        guard.probabilities(rows)
