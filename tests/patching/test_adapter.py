"""A set as an adapter: what plain PEFT and plain transformers write with it is what a patch run wrote."""

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from snql.db.connection import Database
from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet
from snql.patching.adapter import Rescaling, rescaling, write
from snql.patching.options import AdapterOptions, Mode, PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE, TOKENIZER_FILES
from ..synthetic import add_locate_run

SOURCE = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu", limit=6)
SET = "found:40%"


@pytest.fixture
def ranked(db: Database) -> Database:
    add_locate_run(db, "found", np.random.default_rng(2).random((3, 40)))
    return db


def made(db: Database, base: str, neurons: str = SET, **settings: Any) -> Rescaling:
    models = LoadOptions(dtype="float32", verify=False)
    return rescaling(db, AdapterOptions(neurons=neurons, base=base, models=models, **settings))


def loaded(base: Path, *adapters: Path) -> Any:
    """A model as PEFT alone loads it, with all of the adapters on."""
    model: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    if adapters:
        model = PeftModel.from_pretrained(model, adapters[0], adapter_name="0")
        for place, adapter in enumerate(adapters[1:], 1):
            model.load_adapter(adapter, adapter_name=str(place))
        model.base_model.set_adapter([str(place) for place in range(len(adapters))])
    return model.eval()


@torch.inference_mode()
def greedily(model: Any, prompt: Sequence[int], n_tokens: int) -> list[int]:
    ids = list(prompt)
    for _ in range(n_tokens):
        ids.append(int(model(torch.tensor([ids])).logits[0, -1].argmax()))
    return ids[len(prompt) :]


@pytest.mark.parametrize(
    "scale",
    [
        0.5,
        pytest.param(0.0, marks=pytest.mark.slow("another factor")),
        pytest.param(2.0, marks=pytest.mark.slow("another factor")),
    ],
)
def test_token_for_token_what_a_patch_wrote(
    ranked: Database, tmp_path: Path, tiny_llama: Path, tiny_adapter: Path, scale: float
) -> None:
    """On a model with an IA3 adapter of its own, whose scales the set's multiply."""
    spec = f"{tiny_llama}+{tiny_adapter}"
    options = PatchOptions(
        recipient=spec,
        neurons=(SET,),
        mode=f"scale:{scale:g}",
        prompts=SOURCE,
        judging=JudgingOptions(("refusal",)),
        writing=WritingOptions(max_new_tokens=10),
        models=LoadOptions(dtype="float32", verify=False),
    )
    patch(ranked, "scaled", options)
    rows = ranked.rows(
        """
        SELECT variant, p.input_ids, c.token_ids FROM run_completions AS c
        JOIN run_prompts AS p USING (run_id, prompt_id) WHERE run = 'scaled'
        """
    )
    adapter = made(ranked, spec, scale=scale)
    write(adapter, tmp_path / "adapter")
    write(made(ranked, spec, scale=scale, merge=True), tmp_path / "merged")
    modes = {path.stat().st_mode for name in ("adapter", "merged") for path in (tmp_path / name).iterdir()}
    assert len(modes) == 1, "all files are readable by whom new files are readable"
    by_peft, merged = loaded(tiny_llama, tiny_adapter, tmp_path / "adapter"), loaded(tmp_path / "merged")
    patched = [(prompt, ids) for variant, prompt, ids in rows if variant == SET]
    plain = {tuple(prompt): ids for variant, prompt, ids in rows if variant == "recipient"}
    assert len(patched) == 6
    for prompt, ids in patched:
        assert greedily(by_peft, prompt, len(ids)) == ids
        assert greedily(merged, prompt, len(ids)) == ids
    assert any(plain[tuple(prompt)] != ids for prompt, ids in patched)
    again = load_models({"own": f"{spec}+{tmp_path / 'adapter'}"}, LoadOptions(dtype="float32"))["own"]
    assert again.adapter_names and again.shape == adapter.members.shape
    (effect,) = ranked.rows("SELECT run, judge, dataset, mean_recipient, mean_patched FROM causal_effects")
    run, judge, dataset, *scores = effect
    assert adapter.costs.rows() == [(run, f"refusals ({judge})", dataset, *(1 - score for score in scores))]
    assert made(ranked, spec, scale=0.25).costs.is_empty()
    assert made(ranked, spec, "found:39%", scale=scale).costs.is_empty()
    assert made(ranked, str(tiny_llama), scale=scale).costs.is_empty()


def test_exactly_these_neurons_are_multiplied(ranked: Database, tmp_path: Path, tiny_llama: Path) -> None:
    adapter = made(ranked, str(tiny_llama), "L0.N3,L2.N39 | found:5", scale=-1.5)
    write(adapter, tmp_path / "x")
    held = load_file(tmp_path / "x" / "adapter_model.safetensors")
    vectors = torch.stack([held[f"base_model.model.model.layers.{layer}.mlp.down_proj.ia3_l"][0] for layer in range(3)])
    assert len(held) == 3
    assert vectors[0, 3] == vectors[2, 39] == -1.5
    changed = np.flatnonzero(vectors.numpy().ravel() != 1)
    assert NeuronSet.from_ids(adapter.members.shape, changed) == adapter.members
    assert set(vectors.flatten().tolist()) == {-1.5, 1.0}


def hooked(model: Any, members: NeuronSet, factor: float, path: str) -> None:
    """Multiply the inputs of the down-projections by hand."""
    for layer, columns in members.by_layer().items():
        scales = torch.ones(members.shape.n_neurons)
        scales[columns] = factor
        model.get_submodule(path.format(layer)).register_forward_pre_hook(lambda _, args, by=scales: (args[0] * by,))


@pytest.mark.parametrize("kind", ["gpt2", "lora"])
def test_other_projections_and_adapters(db: Database, tmp_path: Path, tiny_llama: Path, kind: str) -> None:
    """GPT-2's down-projections are transposed; a LoRA adapter can only be merged."""
    ids = torch.arange(4, 16).reshape(1, -1)
    own: list[Path] = []
    if kind == "gpt2":
        config = GPT2Config(vocab_size=300, n_positions=64, n_embd=16, n_layer=2, n_head=2, n_inner=24)
        torch.manual_seed(3)
        GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
        for name in TOKENIZER_FILES:
            shutil.copy(ORACLE / "model" / name, tmp_path / "base" / name)
        base, path = tmp_path / "base", "transformer.h.{}.mlp.c_proj"
    else:
        base, path = tiny_llama, "base_model.model.model.layers.{}.mlp.down_proj"
        torch.manual_seed(4)
        targets = ["down_proj", "q_proj"]
        tuned = get_peft_model(loaded(base), LoraConfig(r=2, target_modules=targets, init_lora_weights=False))
        tuned.save_pretrained(str(tmp_path / "own"))
        own = [tmp_path / "own"]
    spec, neurons = "+".join(map(str, (base, *own))), "L0.N1,L0.N7,L1.N20,L1.N2"
    expected = loaded(base, *own)
    adapter = made(db, spec, neurons, scale=3.0, merge=True)
    hooked(expected, adapter.members, 3.0, path)
    with torch.inference_mode():
        wanted = expected(ids).logits
        write(adapter, tmp_path / "merged")
        torch.testing.assert_close(loaded(tmp_path / "merged")(ids).logits, wanted, rtol=1e-4, atol=1e-5)
        assert not torch.allclose(loaded(base, *own)(ids).logits, wanted, atol=1e-4)
        if own:
            with pytest.raises(InputError, match="has a LoRA adapter, on which no IA3 adapter can be stacked: `merge`"):
                made(db, spec, neurons, scale=3.0)
        else:
            write(made(db, spec, neurons, scale=3.0), tmp_path / "adapter")
            torch.testing.assert_close(loaded(base, tmp_path / "adapter")(ids).logits, wanted, rtol=1e-4, atol=1e-5)


def test_a_run_that_is_not_known_is_refused_before_a_model_is_loaded(ranked: Database) -> None:
    with pytest.raises(InputError, match="column 12: no finished locate run 'lost'"):
        made(ranked, "nowhere", "found:5% - lost:5%")


def test_folders_that_hold_something(db: Database, tmp_path: Path, tiny_llama: Path) -> None:
    adapter = made(db, str(tiny_llama), "L1")
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "thesis.txt").write_text("x")
    for force in (False, True):
        with pytest.raises(InputError, match="kept exists and is not an empty folder: .*holds no adapter"):
            write(adapter, kept, force=force)
    write(adapter, tmp_path / "a")
    with pytest.raises(InputError, match="or `force` to replace it"):
        write(adapter, tmp_path / "a")
    write(made(db, str(tiny_llama), "L2"), tmp_path / "a", force=True)
    held = load_file(tmp_path / "a" / "adapter_model.safetensors")
    assert [float(held[key].sum()) for key in sorted(held)] == [40, 40, 0]
    with pytest.raises(InputError, match="which has a \\+ between its parts"):
        write(adapter, tmp_path / "a+b")
    with pytest.raises(InputError, match="is a part of .*, which is not replaced"):
        write(made(db, f"{tiny_llama}+{tmp_path / 'a'}", "L2"), tmp_path / "a", force=True)
    with pytest.raises(InputError, match="names no neuron: there is nothing to multiply"):
        made(db, str(tiny_llama), "L1 - L1")
    with pytest.raises(InputError, match="`scale` nan is no number"):
        made(db, str(tiny_llama), "L1", scale=float("nan"))
    assert {path.name for path in tmp_path.iterdir()} == {"kept", "a"}


@pytest.mark.parametrize("factor", ["1e31", "-1e300", "nan", "inf"])
def test_factors_that_32_bits_do_not_have_are_refused(factor: str) -> None:
    with pytest.raises(InputError, match="is no number to multiply by"):
        AdapterOptions(neurons="found:5%", base="b", scale=float(factor))
    with pytest.raises(InputError, match="is not known: use donor"):
        Mode.parse(f"scale:{factor}")
