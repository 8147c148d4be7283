"""The lens on every architecture: against matrices taken by name, and against the model's own logits."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import AutoModelForCausalLM

from snql.errors import ModelError
from snql.lens.path import output_path, written
from snql.lens.tokens import top_tokens
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.values import value_vectors
from tests.models.test_architectures import CONFIGS, CPU, EXPERTS, N_NEURONS, save_random

LAYER, NEURON = 1, 5
DOWN = {
    "gpt2": "transformer.h.1.mlp.c_proj.weight",
    "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h.weight",
    "gptj": "transformer.h.1.mlp.fc_out.weight",
    "opt": "model.decoder.layers.1.fc2.weight",
    "bloom": "transformer.h.1.mlp.dense_4h_to_h.weight",
    "falcon": "transformer.h.1.mlp.dense_4h_to_h.weight",
    "mpt": "transformer.blocks.1.ffn.down_proj.weight",
    "phi": "model.layers.1.mlp.fc2.weight",
    "starcoder2": "model.layers.1.mlp.c_proj.weight",
}
FINAL = {
    "gpt2": "transformer.ln_f",
    "gpt_neox": "gpt_neox.final_layer_norm",
    "gptj": "transformer.ln_f",
    "opt": "model.decoder.final_layer_norm",
    "bloom": "transformer.ln_f",
    "falcon": "transformer.ln_f",
    "mpt": "transformer.norm_f",
    "phi": "model.final_layernorm",
}
CENTRED = {"gpt2", "gpt_neox", "gptj", "opt", "bloom", "falcon", "mpt", "phi", "starcoder2"}
POST_NORMED = {"gemma2", "gemma3_text", "olmo2"}


@pytest.fixture(scope="module", params=CONFIGS)
def tiny(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path, LoadedModel]:
    """A tiny model whose norms have gains that differ from each other, as a trained one's."""
    name = str(request.param)
    folder = save_random(tmp_path_factory.mktemp(name), CONFIGS[name]())
    model: Any = AutoModelForCausalLM.from_pretrained(folder)
    torch.manual_seed(1)
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if parameter.dim() == 1 and "norm" in key.lower().replace("ln_", "norm") and key.endswith("weight"):
                parameter += 0.5 * torch.rand_like(parameter)
    model.save_pretrained(folder)
    return name, folder, load_one(folder)


def load_one(folder: Path) -> LoadedModel:
    return load_models({"one": str(folder)}, CPU)["one"]


def column(name: str, weights: dict[str, torch.Tensor]) -> torch.Tensor:
    if name in EXPERTS:
        for key in (f"model.layers.{LAYER}.mlp.experts.down_proj",):
            return weights[key][0][:, NEURON]
    weight = weights[DOWN.get(name, f"model.layers.{LAYER}.mlp.down_proj.weight")]
    return weight[NEURON] if name == "gpt2" else weight[:, NEURON]


def test_logits_are_those_of_a_computation_by_hand(tiny: tuple[str, Path, LoadedModel]) -> None:
    name, folder, model = tiny
    plain: Any = AutoModelForCausalLM.from_pretrained(folder)
    weights = {key: value.detach().double() for key, value in plain.state_dict().items()}
    vector = column(name, weights)
    expected = vector
    if name in POST_NORMED:
        gain = weights[f"model.layers.{LAYER}.post_feedforward_layernorm.weight"]
        expected = expected * (gain if name == "olmo2" else 1 + gain)
    if name == "granite":
        expected = expected * plain.config.residual_multiplier
    if name in CENTRED:
        expected = expected - expected.mean()
    gain = weights[FINAL.get(name, "model.norm") + ".weight"]
    expected = expected * (1 + gain if name.startswith("gemma") else gain)
    head = plain.get_output_embeddings().weight.detach().double()
    logits = head @ expected / (plain.config.logits_scaling if name == "granite" else 1)

    found = value_vectors(model, LAYER, torch.tensor([NEURON]))
    assert found[:, 0].double() == pytest.approx(vector, abs=1e-6)
    path = output_path(model)
    promoted, suppressed = top_tokens(path, written(model, LAYER, found), 7)
    order = torch.argsort(logits, descending=True)
    assert promoted.ids[0].tolist() == order[:7].tolist()
    assert promoted.logits[0] == pytest.approx(logits[order[:7]].numpy(), rel=1e-4)
    assert suppressed.ids[0].tolist() == order.flip(0)[:7].tolist()
    assert suppressed.logits[0] == pytest.approx(logits[order.flip(0)[:7]].numpy(), rel=1e-4)


def test_more_activation_moves_the_models_logits_that_way(tiny: tuple[str, Path, LoadedModel]) -> None:
    """At the last layer, an activation that is raised adds the lens's logits times one number, but for what all tokens
    have in common: the norm's division by a size that the vector changes too."""
    name, _, model = tiny
    if name in EXPERTS | POST_NORMED:
        pytest.skip("the activation is routed, or passes a norm of its own")
    base = model.base
    ids = torch.tensor([[3, 9, 27, 81, 12]])
    mask, positions = torch.ones_like(ids), torch.arange(5)[None]
    step = 1e-3

    def logits(by: float) -> torch.Tensor:
        stream: list[torch.Tensor] = []

        def raise_it(activations: torch.Tensor) -> torch.Tensor:
            new = activations.clone()
            new[..., -1, NEURON] += by
            return new

        off = base.sites[-1].add_hook(raise_it)
        handle = output_path(model).norm.register_forward_pre_hook(lambda _, given: stream.append(given[0]))
        model.logits(ids, mask, positions)
        off()
        handle.remove()
        return stream[-1][0, -1].double()

    moved = (logits(step) - logits(-step)) / (2 * step)
    vectors = value_vectors(model, base.n_layers - 1, torch.tensor([NEURON]))
    expected = written(model, base.n_layers - 1, vectors)[:, 0].double()
    assert moved == pytest.approx(expected, abs=5e-2 * float(expected.abs().max()))


def test_all_vectors_of_a_layer_are_those_of_its_neurons(tiny: tuple[str, Path, LoadedModel]) -> None:
    _, _, model = tiny
    every = value_vectors(model, 0)
    assert every.shape == (model.sites[0].n_outputs, model.shape.n_neurons)
    assert not every.requires_grad
    chosen = torch.tensor([model.shape.n_neurons - 1, 0])
    assert torch.equal(value_vectors(model, 0, chosen), every[:, chosen])


def test_a_model_whose_logits_are_made_otherwise_is_refused(tmp_path: Path) -> None:
    model = load_one(save_random(tmp_path, CONFIGS["llama"]()))
    head = model.base.model.get_output_embeddings()  # type: ignore[no-untyped-call]
    handle = head.register_forward_hook(lambda _module, _given, output: 2 * output)
    with pytest.raises(ModelError, match="the lens does not know this architecture"):
        output_path(model)
    handle.remove()
    model.base.model.model.norm = nn.Identity()
    with pytest.raises(ModelError, match="has no gain that is known"):
        output_path(model)


def test_what_would_give_wrong_vectors_is_refused(tmp_path: Path) -> None:
    folder = save_random(tmp_path / "base", CONFIGS["llama"]())
    plain: Any = AutoModelForCausalLM.from_pretrained(folder)
    tuned = get_peft_model(plain, LoraConfig(r=2, target_modules=["down_proj"], use_dora=True))
    tuned.save_pretrained(str(tmp_path / "dora"))
    dora = load_models({"one": f"{folder}+{tmp_path / 'dora'}"}, CPU)["one"]
    with pytest.raises(ModelError, match="has a DoRA adapter"):
        value_vectors(dora, 0)
    model: Any = load_one(folder)
    model.base.model.config.logit_scale = "inv_sqrt_d_model"
    with pytest.raises(ModelError, match="only numbers will do"):
        output_path(model)
    with torch.no_grad():
        model.base.model.model.layers[0].mlp.down_proj.weight[0, 3] = float("nan")
    with pytest.raises(ModelError, match="value vectors of layer 0 .* are not finite"):
        value_vectors(model, 0)


def test_small_models_have_what_these_tests_take(tiny: tuple[str, Path, LoadedModel]) -> None:
    _, _, model = tiny
    assert model.base.n_layers == LAYER + 1
    assert NEURON < N_NEURONS // 2
