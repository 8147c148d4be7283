"""Guards with numbers drawn at random, one that was trained, and activations by Hugging Face alone."""

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.guard import learn, testing
from snql.guard.model import Guard
from snql.guard.options import GuardOptions, GuardTestOptions
from snql.guard.parts import Linear, Template
from snql.neurons.sets import NeuronSet, Shape
from snql.options import changed
from snql.organism import bundled
from snql.prompts.options import PromptOptions

TINY = Shape(3, 40)


def made(shape: Shape = TINY, n_neurons: int = 12, seed: int = 0, threshold: float = 0.5) -> Guard:
    """A guard with random neurons and numbers; its probabilities are spread."""
    generator = np.random.default_rng(seed)
    ids = np.sort(generator.choice(shape.size, n_neurons, replace=False)).astype(np.int64)
    linear = Linear(
        generator.normal(0, 2, n_neurons),
        generator.normal(0, 0.1, n_neurons),
        generator.uniform(0.5, 2, n_neurons),
        float(generator.normal()),
    )
    words = Template("tulu", system="Be kind.")
    return Guard(NeuronSet(shape, ids), linear, "some/model", "hash", words, threshold, {"judge": "demo:cost"}, "0.1.0")


SOURCE = PromptOptions(("demo:harmful",), limit=20)
OPTIONS = GuardOptions(
    model="demo:sft",
    neurons="found:3%",
    prompts=SOURCE,
    benign=("demo:benign",),
    judge="demo:cost",
    threshold=4.9,
    sizes=("1%",),
    random=1,
    writing=WritingOptions(max_new_tokens=24, batch_size=16),
)
"""Above a cost that only some answers to harmful prompts have, so that there is something to get wrong."""


@pytest.fixture(scope="session")
def trained_db(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the locate run ``found``, the guard ``mine``, saved beside it, and its test ``mine``."""
    folder = tmp_path_factory.mktemp("guards")
    with Database(folder / "made.duckdb") as db:
        located = LocateOptions(
            before="demo:sft",
            after="demo:safety",
            prompts=PromptOptions(("demo:locate",), limit=8),
            writing=WritingOptions(max_new_tokens=8),
        )
        locate(db, "found", replace(located, keep="none"))
        learn.train(db, "mine", replace(OPTIONS, out=folder / "saved"))
        others = PromptOptions(("demo:harmful", "demo:harmful-wrapped"), limit=24)
        asked = GuardTestOptions(prompts=others, benign=("demo:benign",), costs=True, after="demo:safety")
        testing.test(db, "mine", changed(asked, max_new_tokens=12, batch_size=40))
        return db.path


@pytest.fixture(scope="session")
def trained(trained_db: Path) -> Database:
    """That database, to read."""
    return Database(trained_db)


@pytest.fixture
def made_db(db: Database, trained_db: Path) -> Database:
    """That database, to write to."""
    shutil.copy(trained_db, db.path)
    return db


def plain_network(name: str) -> Any:
    """A bundled model with its adapters, loaded by Hugging Face libraries alone."""
    base, adapters = bundled.model_spec(name)
    network: Any = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    network.eval()
    if not adapters:
        return network
    tuned: Any = PeftModel.from_pretrained(network, str(adapters[0]), adapter_name="a0")
    tuned.eval()
    for number, adapter in enumerate(adapters[1:], start=1):
        tuned.load_adapter(str(adapter), f"a{number}")
    tuned.base_model.set_adapter([f"a{number}" for number in range(len(adapters))])
    return tuned.get_base_model()


def last_activations(network: Any, text: Sequence[int]) -> npt.NDArray[np.float64]:
    """Inputs of all base down-projections at the last token of one text, layer by layer, by hooks of the tests."""
    seen: dict[int, torch.Tensor] = {}
    handles = []
    for number, layer in enumerate(network.model.layers):
        module = getattr(layer.mlp.down_proj, "base_layer", layer.mlp.down_proj)
        handles.append(
            module.register_forward_pre_hook(lambda _, args, number=number: seen.update({number: args[0][0, -1]}))
        )
    with torch.inference_mode():
        network(torch.tensor([text]))
    for handle in handles:
        handle.remove()
    return torch.cat([seen[number] for number in sorted(seen)]).double().numpy()


@pytest.fixture(scope="session")
def sft_network() -> Any:
    return plain_network("sft")
