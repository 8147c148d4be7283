"""Training some neurons alone: the others' entries stay as they were, bit for bit; theirs are those of a whole run."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from snql.db.connection import Database
from snql.errors import InputError, RunError
from snql.models.architectures import Architecture
from snql.models.load import load_models
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet, Shape
from snql.organism.bundled import bundle_path
from snql.training.lora import check_updates, targets
from snql.training.masking import Mask
from snql.training.options import DpoOptions, SftOptions, TrainOptions
from snql.training.plan import plan
from snql.training.run import train

from ..synthetic import add_locate_run

pytest.importorskip("trl", reason="trl is not installed (extra train)")

SHORT: Any = {
    "limit": 12,
    "held_out": 1,
    "batch": 10,
    "micro_batch": 5,
    "max_steps": 1,
    "learning_rate": 0.03,
    "schedule": "constant",
    "models": LoadOptions(device="cpu", verify=False),
}
SFT = SftOptions(model="demo:base", data=("demo:sft",), **SHORT)
DPO = DpoOptions(model="demo:sft", data=("demo:safety",), **SHORT)
CONFIG = json.loads((bundle_path() / "base" / "config.json").read_text("utf-8"))
SHAPE = Shape(CONFIG["num_hidden_layers"], CONFIG["intermediate_size"])
SET = "L3,L5.N2,L0.N7 | r:20"


@pytest.fixture
def ranked(db: Database) -> Database:
    add_locate_run(db, "r", np.random.default_rng(1).random((SHAPE.n_layers, SHAPE.n_neurons)))
    return db


def vectors(folder: Path) -> np.ndarray:
    held = load_file(folder / "adapter_model.safetensors")
    names = [f"base_model.model.model.layers.{layer}.mlp.down_proj.ia3_l" for layer in range(SHAPE.n_layers)]
    return torch.stack([held[name].flatten() for name in names]).numpy().ravel()


STAGES = [SFT, pytest.param(DPO, marks=pytest.mark.slow("another stage"))]


@pytest.mark.parametrize("options", STAGES, ids=["sft", "dpo"])
def test_others_stay_and_these_move_as_in_a_whole_training(
    ranked: Database, tmp_path: Path, options: TrainOptions
) -> None:
    """One step of Adam moves an entry by the same, whatever becomes of the others; weight decay is 0.1."""
    whole, every = tmp_path / "whole", tmp_path / "every"
    train(whole, options)
    train(every, replace(options, only="all"), db=ranked)
    assert np.array_equal(vectors(whole), vectors(every))
    for name, chosen in (("only", replace(options, only=SET)), ("freeze", replace(options, freeze=f"all - ({SET})"))):
        done = train(tmp_path / name, chosen, db=ranked)
        found, ids = vectors(tmp_path / name), members(ranked).ids
        others = np.setdiff1d(np.arange(SHAPE.size), ids)
        assert (found[others] == 1).all()
        assert done.plan.trained == len(ids)
        np.testing.assert_allclose(found[ids], vectors(whole)[ids], atol=1e-3)
        assert (np.abs(found[ids] - 1) > 0.01).mean() > 0.9
        assert done.history["loss"][0] == pytest.approx(train(whole, options, resume=True).history["loss"][0], abs=1e-6)
    assert np.array_equal(vectors(tmp_path / "only"), vectors(tmp_path / "freeze"))


def members(db: Database) -> NeuronSet:
    rows = db.rows("SELECT layer, neuron FROM neuron_scores WHERE run = 'r' AND rank <= 20")
    listed = [(3, neuron) for neuron in range(SHAPE.n_neurons)] + [(5, 2), (0, 7), *rows]
    return NeuronSet.of(SHAPE, listed)


def test_what_was_trained_is_checked_before_it_is_written() -> None:
    model: Any = torch.nn.Module()
    model.vector = torch.nn.Parameter(torch.ones(1, 4))
    mask = Mask.on(model, NeuronSet.of(Shape(1, 4), [(0, 2)]))
    (model.vector * torch.arange(4.0)).sum().backward()
    assert model.vector.grad.tolist() == [[0, 0, 2, 0]]
    mask.check({"vector": torch.tensor([[1.0, 1, 5, 1]])})
    with pytest.raises(RunError, match="neuron L0.N3 was trained"):
        mask.check({"vector": torch.tensor([[1.0, 1, 5, 1 + 2**-23]])})


@pytest.mark.parametrize("options", STAGES, ids=["sft", "dpo"])
def test_lora_changes_the_rows_and_columns_of_these_neurons_alone(
    ranked: Database, tmp_path: Path, options: TrainOptions
) -> None:
    """Against PEFT: the projections' weights differ from the base's in these places, and nowhere else by a bit."""
    asked = replace(options, model="demo:base", lora=2, only=SET, max_steps=2)
    done = train(tmp_path / "out", asked, db=ranked)
    ids = members(ranked).ids
    trained = {layer: ids[ids // SHAPE.n_neurons == layer] % SHAPE.n_neurons for layer in range(SHAPE.n_layers)}
    hidden = CONFIG["hidden_size"]
    assert done.plan.trained == 2 * (3 * len(ids) + SHAPE.n_layers * 3 * hidden)
    plain = AutoModelForCausalLM.from_pretrained(bundle_path() / "base", dtype=torch.float32)
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    merged: Any = PeftModel.from_pretrained(plain, str(tmp_path / "out")).merge_and_unload()
    for name, tensor in merged.state_dict().items():
        changed_at = (tensor != before[name]).nonzero()
        kind = next((kind for kind in ("gate_proj", "up_proj", "down_proj") if kind in name), None)
        if kind is None:
            assert not len(changed_at), name
            continue
        places = changed_at[:, 1 if kind == "down_proj" else 0].unique().tolist()
        assert places == trained[int(name.split(".")[2])].tolist(), name
    loaded = load_models({"it": done.model}, LoadOptions(device="cpu"))["it"]
    assert loaded.shape == SHAPE


def test_lora_that_moved_is_not_written() -> None:
    architecture = Architecture("layers", "down", "up", "act", gate="gate")
    chosen = NeuronSet.of(Shape(1, 4), [(0, 2)])
    ends = {"gate": ((2, 3), (4, 2)), "up": ((2, 3), (4, 2)), "down": ((2, 4), (3, 2))}
    tensors: dict[str, torch.Tensor] = {}
    for path, (a, b) in ends.items():
        tensors |= {
            f"base_model.model.layers.0.{path}.lora_{side}.weight": torch.ones(shape)
            for side, shape in (("A", a), ("B", b))
        }
    frozen = torch.tensor([0, 1, 3])
    tensors["base_model.model.layers.0.gate.lora_B.weight"][frozen] = 0
    tensors["base_model.model.layers.0.up.lora_B.weight"][frozen] = 0
    tensors["base_model.model.layers.0.down.lora_A.weight"][:, frozen] = 0
    check_updates(tensors, architecture, chosen)
    tensors["base_model.model.layers.0.up.lora_B.weight"][3, 1] = 1e-30
    with pytest.raises(RunError, match="layer 0: up is changed at neurons that were not to be"):
        check_updates(tensors, architecture, chosen)
    with pytest.raises(InputError, match="experts of a mixture are one tensor"):
        targets(torch.nn.Module(), replace(architecture, experts="experts"))


BAD: dict[str, tuple[Callable[[], TrainOptions], str]] = {
    "both": (lambda: replace(SFT, only="L1", freeze="L2"), "`only` and `freeze` do not go together"),
    "none": (lambda: replace(SFT, only="L1 - L1"), "names no neuron: nothing is left to train"),
    "every": (lambda: replace(SFT, freeze="all"), "names every neuron: nothing is left to train"),
    "rank": (lambda: replace(SFT, lora=0), "`lora` 0 is out of range"),
    "target": (lambda: replace(SFT, lora=2, target="down_proj"), "`target` is what IA3 rescales"),
    "stack": (lambda: replace(DPO, lora=2), "demo:sft has adapters of type IA3, and LORA cannot be stacked on them"),
    "layer": (lambda: replace(SFT, only="L99"), "column 1: the model has 9 layers: no L99"),
    "run": (lambda: replace(SFT, freeze="lost:5%"), "no finished locate run 'lost'"),
}


@pytest.mark.parametrize("how", BAD)
def test_bad_input_trains_nothing(ranked: Database, tmp_path: Path, how: str) -> None:
    make, message = BAD[how]
    with pytest.raises(InputError, match=message):
        train(tmp_path / "out", make(), db=ranked)
    assert not (tmp_path / "out").exists()


def test_a_plan_counts_what_is_trained(ranked: Database) -> None:
    assert plan(replace(SFT, only=SET), ranked)[0].trained == len(members(ranked))
    with pytest.raises(InputError, match="needs a database: give `db`"):
        plan(replace(SFT, only=SET))


def test_other_neurons_are_no_resumption(ranked: Database, tmp_path: Path) -> None:
    train(tmp_path / "out", replace(SFT, only="r:20"), db=ranked)
    with pytest.raises(InputError, match="cannot be resumed: `only` differs"):
        train(tmp_path / "out", replace(SFT, only="r:21"), db=ranked, resume=True)
    with ranked.write() as connection:
        connection.execute("UPDATE neuron_statistics SET rank = (SELECT count(*) FROM neuron_statistics) + 1 - rank")
    with pytest.raises(InputError, match="`only` or `freeze` names other neurons now"):
        train(tmp_path / "out", replace(SFT, only="r:20"), db=ranked, resume=True)
