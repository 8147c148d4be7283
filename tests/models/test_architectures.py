"""Every supported architecture: a tiny random model of its class, against Hugging Face's own forward pass."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers as hf
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, PretrainedConfig

from snql.contrast.positions import Text
from snql.contrast.read import contrast_batch, contrast_sums
from snql.errors import ModelError
from snql.generation.decode import generate
from snql.models import architectures
from snql.models.load import inspect_model, load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet

from ..conftest import ORACLE, TOKENIZER_FILES
from ..patched import PatchRow, patch_and_generate

CPU = LoadOptions(device="cpu")
N_NEURONS = 24
SPECIAL = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "vocab_size": 260,
    "max_position_embeddings": 96,
    "initializer_range": 0.4,
    **SPECIAL,
}
GROUPED: dict[str, Any] = SIZES | {"intermediate_size": N_NEURONS, "num_key_value_heads": 2}
HEADS: dict[str, Any] = GROUPED | {"head_dim": 8}
GPT: dict[str, Any] = {
    "n_embd": 32,
    "n_layer": 2,
    "n_head": 4,
    "vocab_size": 260,
    "n_positions": 96,
    "n_inner": N_NEURONS,
    **SPECIAL,
}
WIDE: dict[str, Any] = {
    "hidden_size": 32,
    "num_attention_heads": 4,
    "vocab_size": 260,
    "initializer_range": 0.4,
    **SPECIAL,
}

MPT: dict[str, Any] = {
    "d_model": 32,
    "n_layers": 2,
    "n_heads": 4,
    "vocab_size": 260,
    "max_seq_len": 96,
    "initializer_range": 0.4,
    **SPECIAL,
}

CONFIGS: dict[str, Callable[[], Any]] = {
    "llama": lambda: hf.LlamaConfig(**GROUPED),
    "mistral": lambda: hf.MistralConfig(**GROUPED, sliding_window=8),
    "qwen2": lambda: hf.Qwen2Config(**GROUPED),
    "qwen3": lambda: hf.Qwen3Config(**HEADS),
    "gemma": lambda: hf.GemmaConfig(**HEADS),
    "gemma2": lambda: hf.Gemma2Config(**HEADS, sliding_window=8),
    "gemma3_text": lambda: hf.Gemma3TextConfig(**HEADS, sliding_window=8),
    "phi3": lambda: hf.Phi3Config(**GROUPED),
    "olmo2": lambda: hf.Olmo2Config(**GROUPED),
    "smollm3": lambda: hf.SmolLM3Config(**GROUPED),
    "granite": lambda: hf.GraniteConfig(**GROUPED),
    "starcoder2": lambda: hf.Starcoder2Config(**GROUPED),
    "gpt2": lambda: hf.GPT2Config(**GPT, initializer_range=0.4),
    "gpt_neox": lambda: hf.GPTNeoXConfig(**SIZES, intermediate_size=N_NEURONS),
    "gptj": lambda: hf.GPTJConfig(**GPT, rotary_dim=8, initializer_range=0.4),
    "opt": lambda: hf.OPTConfig(
        **WIDE, num_hidden_layers=2, ffn_dim=N_NEURONS, word_embed_proj_dim=32, max_position_embeddings=96, init_std=0.4
    ),
    "bloom": lambda: hf.BloomConfig(**{**WIDE, "n_layer": 2}),
    "falcon": lambda: hf.FalconConfig(**WIDE, num_hidden_layers=2, ffn_hidden_size=N_NEURONS),
    "mpt": lambda: hf.MptConfig(**MPT),
    "phi": lambda: hf.PhiConfig(**SIZES, intermediate_size=N_NEURONS),
    "mixtral": lambda: hf.MixtralConfig(**GROUPED, num_local_experts=4, num_experts_per_tok=2),
    "qwen2_moe": lambda: hf.Qwen2MoeConfig(
        **GROUPED, moe_intermediate_size=12, shared_expert_intermediate_size=20, num_experts=4, num_experts_per_tok=2
    ),
    "qwen3_moe": lambda: hf.AutoConfig.for_model(
        "qwen3_moe", **HEADS, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2
    ),
}
EXPERTS = {"mixtral", "qwen2_moe", "qwen3_moe"}

# What each MLP computes before its down-projection, written out by hand on its own modules.
FORMULAS: dict[str, Callable[[Any, torch.Tensor], torch.Tensor]] = {
    "phi3": lambda mlp, x: _phi3(mlp, x),
    "starcoder2": lambda mlp, x: mlp.act(mlp.c_fc(x)),
    "gpt2": lambda mlp, x: mlp.act(x @ mlp.c_fc.weight + mlp.c_fc.bias),
    "gpt_neox": lambda mlp, x: torch.nn.functional.gelu(mlp.dense_h_to_4h(x)),
    "gptj": lambda mlp, x: mlp.act(mlp.fc_in(x)),
    "opt": lambda layer, x: torch.relu(layer.fc1(x)),
    "bloom": lambda mlp, x: torch.nn.functional.gelu(mlp.dense_h_to_4h(x), approximate="tanh"),
    "falcon": lambda mlp, x: torch.nn.functional.gelu(mlp.dense_h_to_4h(x)),
    "mpt": lambda mlp, x: torch.nn.functional.gelu(mlp.up_proj(x)),
    "phi": lambda mlp, x: mlp.activation_fn(mlp.fc1(x)),
}


def _phi3(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    weight = mlp.gate_up_proj.weight
    gate, up = weight[:N_NEURONS], weight[N_NEURONS:]
    activated: torch.Tensor = torch.nn.functional.silu(x @ gate.T)
    return activated.mul(x @ up.T)


def gated(mlp: Any, x: torch.Tensor) -> torch.Tensor:
    activated: torch.Tensor = mlp.act_fn(x @ mlp.gate_proj.weight.T)
    return activated.mul(x @ mlp.up_proj.weight.T)


def save_random(folder: Path, config: PretrainedConfig, seed: int = 0) -> Path:
    torch.manual_seed(seed)
    auto: Any = AutoModelForCausalLM
    auto.from_config(config).save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(ORACLE / "model" / name, folder / name)
    return folder


@pytest.fixture(scope="module", params=sorted(CONFIGS))
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, LoadedModel]:
    """Two random models of one class: before and after."""
    folder = tmp_path_factory.mktemp(request.param)
    specs = {
        role: str(save_random(folder / role, CONFIGS[request.param](), seed))
        for seed, role in enumerate(("before", "after"))
    }
    return load_models(specs, CPU)


PROMPTS = [[1, 50, 60, 70], [1, 9], [1, 20, 30, 40, 51, 62, 73, 84, 95, 106, 117], [1, 101, 102]]


def test_the_table_and_the_tests_have_the_same_types() -> None:
    assert set(CONFIGS) == set(architectures.ARCHITECTURES)


def test_every_check_holds(pair: dict[str, LoadedModel]) -> None:
    for model in pair.values():
        assert [check.name for check in model.base.checks if not check.ok] == []
        assert len(model.base.checks) == 6


def test_captured_neurons_equal_the_formula(pair: dict[str, LoadedModel]) -> None:
    model = pair["before"]
    kind = model.base.model_type
    if kind in EXPERTS:
        pytest.skip("tests/models/test_experts.py does it for experts")
    captured: dict[int, torch.Tensor] = {}
    texts = [Text(i, tuple(ids), tuple(range(len(ids)))) for i, ids in enumerate(PROMPTS[:1])]
    contrast_batch(model, model, texts, range(2), lambda layer, b, _a: captured.__setitem__(layer, b))
    layers: Any = model.base.model.get_submodule(architectures.ARCHITECTURES[kind].layers)
    inputs: dict[int, torch.Tensor] = {}
    for index, layer in enumerate(layers):
        first = layer.get_submodule(architectures.ARCHITECTURES[kind].up)
        first.register_forward_pre_hook(lambda _m, x, index=index: inputs.__setitem__(index, x[0]))
    with torch.no_grad():
        model.base.model(torch.tensor(PROMPTS[:1]))
        for index, layer in enumerate(layers):
            home = layer if kind == "opt" else layer.ffn if kind == "mpt" else layer.mlp
            expected = FORMULAS.get(kind, gated)(home, inputs[index]).reshape(captured[index].shape)
            torch.testing.assert_close(captured[index], expected, atol=1e-5, rtol=1e-5)


def test_a_batch_gives_what_single_prompts_give(pair: dict[str, LoadedModel]) -> None:
    before, after = pair["before"], pair["after"]
    together = generate(before, PROMPTS, 8)
    alone = [generate(before, [prompt], 8)[0] for prompt in PROMPTS]
    assert together == alone
    texts = [
        Text(i, (*ids, *completion.token_ids), tuple(range(len(ids) + len(completion.token_ids))))
        for i, (ids, completion) in enumerate(zip(PROMPTS, together, strict=True))
    ]
    one, four = (
        contrast_sums(before, after, batches).statistics() for batches in ([texts], [[text] for text in texts])
    )
    scale = np.abs(four.change_scores).max()
    np.testing.assert_allclose(one.change_scores / scale, four.change_scores / scale, atol=1e-5)
    np.testing.assert_allclose(one.mean_before / scale, four.mean_before / scale, atol=1e-5)


def test_generation_is_that_of_hugging_face(pair: dict[str, LoadedModel]) -> None:
    model = pair["before"]
    for prompt in PROMPTS:
        expected = model.base.model.generate(  # type: ignore[operator]
            torch.tensor([prompt]), max_new_tokens=8, do_sample=False, pad_token_id=0, eos_token_id=2
        )
        assert list(generate(model, [prompt], 8)[0].token_ids) == expected[0, len(prompt) :].tolist()


def test_patching_nothing_changes_nothing_and_patching_everything_matters(pair: dict[str, LoadedModel]) -> None:
    before, after = pair["before"], pair["after"]
    shape = before.shape
    nothing = [PatchRow(tuple(ids), NeuronSet.of(shape, [])) for ids in PROMPTS]
    everything = [PatchRow(tuple(ids), NeuronSet.all(shape)) for ids in PROMPTS]
    plain = generate(before, PROMPTS, 8)
    assert patch_and_generate(before, after, nothing, 8) == plain
    assert patch_and_generate(before, before, everything, 8) == plain
    assert patch_and_generate(before, after, everything, 8) != plain


def test_a_type_that_is_not_in_the_table_is_found_by_structure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ("llama", "phi3", "gpt2", "opt", "gpt_neox", "bloom"):
        folder = save_random(tmp_path / kind, CONFIGS[kind]())
        known = load_models({"m": str(folder)}, CPU)["m"]
        with monkeypatch.context() as patched:
            patched.delitem(architectures.ARCHITECTURES, kind)
            found = load_models({"m": str(folder)}, CPU)["m"]
        assert found.base.architecture == known.base.architecture, kind


def test_a_wrong_entry_in_the_table_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = str(save_random(tmp_path / "model", CONFIGS["llama"]()))
    right = architectures.ARCHITECTURES["llama"]
    for change, message in (
        ({"gate": None}, "neurons equal their formula: layer 0: captured and computed differ"),
        ({"gate": right.up, "up": right.gate}, "neurons equal their formula"),
        ({"down": "self_attn.o_proj"}, "shape: 2 layers of 32 neurons where the config says 2 of 24"),
        ({"down": "mlp.nothing"}, "the model is not built as its type says"),
        ({"down": "mlp.act_fn"}, "is a SiLUActivation, not a linear layer"),
        ({"layers": "model.norm"}, "not a list of layers"),
    ):
        wrong = architectures.Architecture(**{**vars(right), **change})
        monkeypatch.setitem(architectures.ARCHITECTURES, "llama", wrong)
        with pytest.raises(ModelError, match=message):
            load_models({"m": folder}, CPU)


def test_inspecting_a_model_shows_what_fails(tmp_path: Path) -> None:
    folder = save_random(tmp_path / "model", CONFIGS["llama"]())
    assert all(check.ok for check in inspect_model(str(folder), CPU).base.checks)
    tensors = load_file(folder / "model.safetensors")
    tensors["model.layers.1.mlp.down_proj.weight"].zero_()
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    failed = [check for check in inspect_model(str(folder), CPU).base.checks if not check.ok]
    assert [check.name for check in failed] == ["overwriting a neuron changes the logits"]
    assert failed[0].found.startswith("layer 1: overwriting neuron")
    with pytest.raises(ModelError, match="overwriting a neuron changes the logits: layer 1"):
        load_models({"m": str(folder)}, CPU)
