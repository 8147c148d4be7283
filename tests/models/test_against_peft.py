"""Every kind of adapter that snql loads, alone, stacked, and on a base that others share: logits equal PEFT alone.

On a tiny model, and (slow) on a real one where it is at hand. PEFT alone is a fresh base for every model, loaded by
transformers, with nothing of snql around it.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from snql.errors import ModelError
from snql.models import adapters
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions

CPU = LoadOptions(device="cpu", verify=False)
IDS = torch.tensor([[1, 114, 138, 116, 103, 43, 76, 200, 5, 17]])
MLP = ["up_proj", "down_proj"]

Config = LoraConfig | IA3Config


def lora(**settings: Any) -> LoraConfig:
    return LoraConfig(**{"r": 4, "lora_alpha": 12, "target_modules": MLP, "task_type": "CAUSAL_LM", **settings})


def ia3(**settings: Any) -> IA3Config:
    chosen = {"target_modules": ["k_proj", "down_proj"], "feedforward_modules": ["down_proj"], **settings}
    return IA3Config(task_type="CAUSAL_LM", **chosen)


KINDS: dict[str, Any] = {
    "lora": lora(),
    "rslora": lora(use_rslora=True),
    "dora": lora(use_dora=True),
    "ranks": lora(rank_pattern={"up_proj": 2}, alpha_pattern={"down_proj": 3}),
    "some layers": lora(layers_to_transform=[0, 2]),
    "pattern of modules": lora(target_modules=r".*\.(q|v)_proj"),
    "all linear but one": lora(target_modules="all-linear", exclude_modules=["o_proj"]),
    "bias of its own": lora(lora_bias=True),
    "gaussian": lora(init_lora_weights="gaussian"),
    "orthogonal": lora(init_lora_weights="orthogonal"),
    "embedding": lora(target_modules=["embed_tokens", "down_proj"]),
    "head": lora(target_modules=["lm_head", "down_proj"]),
    "head of its own": lora(modules_to_save=["lm_head"]),
    "norms of its own": lora(modules_to_save=["norm"]),
    "tokens of its own": lora(trainable_token_indices=[5, 17]),
    "ia3": ia3(),
    "ia3 by pattern": ia3(target_modules=r".*\.(k_proj|down_proj)", feedforward_modules=r".*\.down_proj"),
    "ia3 with a head": ia3(modules_to_save=["lm_head"]),
    "pissa": lora(init_lora_weights="pissa"),
    "olora": lora(init_lora_weights="olora"),
}
CHANGING = {"pissa", "olora"}


def plain(folder: Path) -> Any:
    model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    return model.eval()


def save(base: Path, folder: Path, config: Config, seed: int = 0, **options: Any) -> Path:
    """An adapter all of whose own tensors have moved from where they began."""
    torch.manual_seed(seed)
    model = get_peft_model(plain(base), config)
    marks = ("lora_", "ia3_", "modules_to_save", "trainable_tokens")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if any(mark in name for mark in marks):
                parameter.add_(torch.randn_like(parameter) * 0.1)
    model.save_pretrained(str(folder), **options)
    return folder


def by_peft(base: Path, *stack: Path) -> torch.Tensor:
    model = plain(base)
    if stack:
        model = PeftModel.from_pretrained(model, str(stack[0]), adapter_name="a0")
        for number, folder in enumerate(stack[1:], start=1):
            model.load_adapter(str(folder), adapter_name=f"a{number}")
        tuner: Any = model.base_model
        tuner.set_adapter([f"a{number}" for number in range(len(stack))])
    with torch.no_grad():
        found: torch.Tensor = model.eval()(IDS).logits
    return found


def by_snql(model: LoadedModel) -> torch.Tensor:
    return model.logits(IDS, torch.ones_like(IDS), torch.arange(IDS.shape[1])[None], keep=IDS.shape[1])


def all_equal(models: Mapping[str, LoadedModel], expected: Mapping[str, torch.Tensor], atol: float = 1e-6) -> None:
    for _ in range(2):  # what one leaves behind must not show in another
        for role, logits in expected.items():
            torch.testing.assert_close(by_snql(models[role]), logits, atol=atol, rtol=1e-6, msg=role)


@pytest.mark.parametrize("kind", KINDS)
def test_alone_and_on_a_shared_base(base: tuple[Path, float], tmp_path: Path, kind: str) -> None:
    folder, atol = base
    one, two = (save(folder, tmp_path / str(seed), KINDS[kind], seed) for seed in (1, 2))
    expected = {"base": by_peft(folder), "one": by_peft(folder, one), "two": by_peft(folder, two)}
    assert (expected["one"] - expected["base"]).abs().max() > 1e-3
    assert (expected["one"] - expected["two"]).abs().max() > 1e-3
    specs = {"base": str(folder), "one": f"{folder}+{one}", "two": f"{folder}+{two}"}
    models = load_models(specs, CPU)
    all_equal(models, expected, atol)
    assert (models["one"].base is models["base"].base) == (kind not in CHANGING)
    if kind in CHANGING:
        assert "takes its part out of the base's weights" in models["one"].notes[0]


OTHERS = pytest.mark.slow("each kind alone is tested above, every third in a stack")
STACKED = [kind for kind in KINDS if kind not in CHANGING and "of its own" not in kind and "with a head" not in kind]


@pytest.mark.parametrize(
    "kind", [*STACKED[::3], *(pytest.param(k, marks=OTHERS) for k in STACKED if k not in STACKED[::3])]
)
def test_a_stack(base: tuple[Path, float], tmp_path: Path, kind: str) -> None:
    folder, atol = base
    one, two = (save(folder, tmp_path / str(seed), KINDS[kind], seed) for seed in (1, 2))
    specs = {"base": str(folder), "both": f"{folder}+{one}+{two}", "one": f"{folder}+{one}"}
    expected = {
        "base": by_peft(folder),
        "both": by_peft(folder, one, two),
        "one": by_peft(folder, one),
    }
    assert (expected["both"] - expected["one"]).abs().max() > 1e-3
    all_equal(load_models(specs, CPU), expected, atol)


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "aLoRA": (
        {"alora_invocation_tokens": [1, 2]},
        r"alora_invocation_tokens=\[1, 2\], which snql cannot run: it is",
    ),
    "biases": ({"bias": "all"}, 'bias="all", which snql cannot run: PEFT would change the biases of the base'),
    "layers": ({"layer_replication": [[0, 2], [1, 3]]}, "layer_replication=.* it has more layers than the base"),
    "parameters": ({"target_parameters": ["experts.down_proj"]}, "target_parameters=.* it adapts parameters"),
    "of tomorrow": ({"spin": "left"}, 'spin="left", which snql cannot run: which snql does not know; merge it into'),
    "random": ({"init_lora_weights": "pissa_niter_4"}, 'init_lora_weights="pissa_niter_4": PEFT needs more than its'),
    "covariance": ({"init_lora_weights": "corda"}, 'init_lora_weights="corda": PEFT needs more'),
    "quantized": ({"init_lora_weights": "loftq"}, 'init_lora_weights="loftq": PEFT needs more'),
    "beginning of tomorrow": ({"init_lora_weights": "new"}, 'init_lora_weights="new": PEFT needs more'),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_known_is_refused_by_name(tiny_llama: Path, tmp_path: Path, kind: str) -> None:
    settings, message = REFUSED[kind]
    folder = save(tiny_llama, tmp_path / "a", lora())
    rewrite(folder / "adapter_config.json", settings)
    with pytest.raises(ModelError, match=message) as caught:
        load_models({"m": f"{tiny_llama}+{folder}"}, CPU)
    assert "\n" not in str(caught.value)


def rewrite(path: Path, settings: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | settings))


def test_fields_that_are_off_need_not_be_known(tiny_llama: Path, tmp_path: Path) -> None:
    folder = save(tiny_llama, tmp_path / "a", lora())
    rewrite(folder / "adapter_config.json", {"spin": None, "twist": False, "turns": [], "names": {}})
    all_equal(load_models({"m": f"{tiny_llama}+{folder}"}, CPU), {"m": by_peft(tiny_llama, folder)})


def test_stacks_that_cannot_be(tiny_llama: Path, tmp_path: Path) -> None:
    heads = [save(tiny_llama, tmp_path / f"h{n}", lora(modules_to_save=["lm_head"]), n) for n in (1, 2)]
    with pytest.raises(ModelError, match=r"adapters .*h1 and .*h2 both replace lm_head \(modules_to_save\), of which"):
        load_models({"m": f"{tiny_llama}+{heads[0]}+{heads[1]}"}, CPU)
    pissa, other = save(tiny_llama, tmp_path / "p", KINDS["pissa"]), save(tiny_llama, tmp_path / "o", lora(), 3)
    for spec in (f"{tiny_llama}+{pissa}+{other}", f"{tiny_llama}+{other}+{pissa}"):
        with pytest.raises(ModelError, match="stacks adapter .*/p, which takes its part out of the base's weights"):
            load_models({"m": spec}, CPU)


def test_a_part_of_the_mlp_of_its_own(tiny_llama: Path, tmp_path: Path) -> None:
    folder = save(tiny_llama, tmp_path / "a", lora(target_modules=["q_proj"], modules_to_save=["down_proj"]))
    with pytest.raises(ModelError, match="replaces a part of the MLP that snql reads .*: merge it into a checkpoint"):
        load_models({"m": f"{tiny_llama}+{folder}"}, CPU)


@pytest.mark.parametrize(("name", "value"), [("r", "four"), ("modules_to_save", "lm_head")])
def test_values_of_other_types(tiny_llama: Path, tmp_path: Path, name: str, value: str) -> None:
    folder = save(tiny_llama, tmp_path / "a", lora())
    rewrite(folder / "adapter_config.json", {name: value})
    with pytest.raises(ModelError, match=f'has {name}="{value}", not a '):
        load_models({"m": f"{tiny_llama}+{folder}"}, CPU)


def test_an_adapter_that_changes_the_base_unknown_to_snql(
    tiny_llama: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights themselves are looked at, whatever the configuration says."""
    folder = save(tiny_llama, tmp_path / "a", lora())
    load = adapters.load_adapter

    def loads_and_spoils(model: Any, adapter: Any) -> Any:
        found = load(model, adapter)
        network: Any = found.get_base_model()
        with torch.no_grad():
            network.model.layers[1].mlp.up_proj.base_layer.weight.mul_(1.01)
        return found

    monkeypatch.setattr(adapters, "load_adapter", loads_and_spoils)
    with pytest.raises(ModelError, match=r"changes the weight model\.layers\.1\.mlp\.up_proj\.weight of its base"):
        load_models({"base": str(tiny_llama), "m": f"{tiny_llama}+{folder}"}, CPU)


def test_embeddings_that_came_along(tiny_llama: Path, tmp_path: Path) -> None:
    """PEFT saves whole embeddings beside some adapters: equal to the base's they are no part of it."""
    folder = save(tiny_llama, tmp_path / "a", lora(), save_embedding_layers=True)
    all_equal(load_models({"m": f"{tiny_llama}+{folder}"}, CPU), {"m": by_peft(tiny_llama, folder)})
    other = Path(shutil.copytree(tiny_llama, tmp_path / "other"))
    model = plain(tiny_llama)
    with torch.no_grad():
        model.lm_head.weight.mul_(1.5)
    model.save_pretrained(other)
    with pytest.raises(ModelError, match=r"has its own lm_head\.weight, which differs from the base's"):
        load_models({"m": f"{other}+{folder}"}, CPU)
    model.resize_token_embeddings(270)
    model.save_pretrained(other)
    with pytest.raises(ModelError, match=r"has .* of 260 rows where the base has 270: its vocabulary was resized"):
        load_models({"m": f"{other}+{folder}"}, CPU)


def test_adapters_saved_in_other_ways(tiny_llama: Path, tmp_path: Path) -> None:
    folder = save(tiny_llama, tmp_path / "a", lora())
    pickled = Path(shutil.copytree(folder, tmp_path / "pickled"))
    (pickled / "adapter_model.safetensors").rename(pickled / "adapter_model.bin")
    with pytest.raises(ModelError, match=r"has its weights in adapter_model\.bin: snql reads no pickles; load it"):
        load_models({"m": f"{tiny_llama}+{pickled}"}, CPU)
    emptied = Path(shutil.copytree(folder, tmp_path / "emptied"))
    tensors = load_file(emptied / "adapter_model.safetensors")
    save_file({key: torch.zeros(0) for key in tensors}, emptied / "adapter_model.safetensors")
    with pytest.raises(ModelError, match=r"tensor .* is empty, as when a model that is parted between"):
        load_models({"m": f"{tiny_llama}+{emptied}"}, CPU)
