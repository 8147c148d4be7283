"""Shared fixtures: the published implementation's files, tiny models, and a database of its own for each test.

New databases are copies of a finished one (:mod:`tests.ready_made`), but in tests that ask for ``from_scratch``.

Two processes share the tests (pyproject.toml); one that has none left takes half of what the other has before it.
"""

import gc
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

if Path("/dev/shm").is_dir() and shutil.disk_usage("/dev/shm").free > 8e9:  # databases are synced to their disk
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", "/dev/shm")
if "PYTEST_XDIST_WORKER" in os.environ:  # one core for each process, and for those that its tests start
    os.environ["OMP_NUM_THREADS"] = "1"

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from snql.db.connection import Database
from snql.models import remembered
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from tests import ready_made
from tests.killing import Ask, killing

ORACLE = Path(__file__).parent / "oracle"
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def pytest_collection_finish() -> None:
    """Libraries have a million objects that stay to the end: to look through them again and again takes a tenth."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 100)


def pytest_sessionfinish() -> None:
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def copied_databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ready_made.copied(tmp_path_factory.mktemp("ready-made")):
        yield


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What is remembered of models' files is remembered for these tests alone, by both of their processes."""
    own = tmp_path_factory.getbasetemp()
    folder = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "snql-cache"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(remembered.FOLDER, str(folder))
        yield


@pytest.fixture(scope="session", autouse=True)
def few_pages() -> Iterator[None]:
    """Reports have pages for a few neurons, not for all that they have room for."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("snql.reporting.neuron_files.MAX_PAGES", 12)
        yield


@pytest.fixture
def from_scratch() -> Iterator[None]:
    """In this test, databases are made as users make them."""
    with ready_made.from_scratch():
        yield


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    with Database(tmp_path / "test.duckdb") as database:
        yield database


@pytest.fixture
def lingering(db: Database) -> Iterator[None]:
    """In this test connections wait for their next use, as they do in a job: for tests that look into no file."""
    with db.lingering(writer_reads=True):
        yield


@pytest.fixture(scope="session")
def oracle_models() -> dict[str, LoadedModel]:
    """The oracle's models by name: base, sft, dpo (base+sft+dpo) on one base, and the other checkpoint."""
    base = str(ORACLE / "model")
    return load_models(
        {
            "base": base,
            "sft": f"{base}+{ORACLE / 'sft'}",
            "dpo": f"{base}+{ORACLE / 'sft'}+{ORACLE / 'dpo'}",
            "other": str(ORACLE / "model_b"),
        },
        LoadOptions(device="cpu"),
    )


@pytest.fixture(scope="session")
def oracle_prompts() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (ORACLE / "prompts.jsonl").read_text("utf-8").splitlines()]


def save_tiny_llama(folder: Path, *, seed: int = 0, n_layers: int = 3, n_neurons: int = 40) -> Path:
    """A random Llama with the oracle's tokenizer, saved in ``folder``."""
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=260,
        hidden_size=32,
        intermediate_size=n_neurons,
        num_hidden_layers=n_layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        initializer_range=0.4,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    for name in TOKENIZER_FILES:
        shutil.copy(ORACLE / "model" / name, folder / name)
    return folder


def save_ia3(folder: Path, scales: Iterable[torch.Tensor]) -> Path:
    """An IA3 adapter on the down-projections, one vector of scales (neurons,) a layer, in PEFT's file format."""
    folder.mkdir(parents=True)
    shutil.copy(ORACLE / "sft" / "adapter_config.json", folder / "adapter_config.json")
    key = "base_model.model.model.layers.{}.mlp.down_proj.ia3_l"
    tensors = {key.format(layer): scale.reshape(1, -1).clone() for layer, scale in enumerate(scales)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


@pytest.fixture(scope="session")
def tiny_llama(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="session")
def tiny_adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An adapter for the tiny Llama that changes every neuron."""
    generator = torch.Generator().manual_seed(5)
    scales = [1 + 0.6 * torch.randn(40, generator=generator) for _ in range(3)]
    return save_ia3(tmp_path_factory.mktemp("adapters") / "tuned", scales)


@pytest.fixture(scope="session")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """A process that does and kills runs: see :mod:`tests.killing`."""
    with killing(tmp_path_factory.mktemp("killing")) as other:
        yield other


@pytest.fixture(scope="session")
def plain_model() -> Callable[[Path], Any]:
    """Load a model with Hugging Face alone, to compute things without snql."""

    def load(folder: Path) -> Any:
        model: Any = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
        return model.eval()

    return load
