"""A located and patched pair of tiny models, and reading a text with Hugging Face alone."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions
from snql.db.connection import Database
from snql.generation.options import WritingOptions
from snql.judges.options import JudgingOptions
from snql.models.load import load_models
from snql.models.loaded import LoadedModel
from snql.models.options import LoadOptions
from snql.neurons.sets import NeuronSet
from snql.patching.options import PatchOptions
from snql.patching.patch import patch
from snql.prompts.options import PromptOptions

from ..conftest import ORACLE
from ..patching.by_hand import read_all

SOURCE = PromptOptions((str(ORACLE / "prompts.jsonl"),), template="tulu", limit=5)
Models = dict[str, LoadedModel]


@pytest.fixture(scope="session")
def tiny_pair(tiny_llama: Path, tiny_adapter: Path) -> Models:
    """The tiny Llama and its tuned self, loaded for computing by hand."""
    specs = {"recipient": str(tiny_llama), "donor": f"{tiny_llama}+{tiny_adapter}"}
    return load_models(specs, LoadOptions(device="cpu"))


@pytest.fixture(scope="session")
def patched_db(tmp_path_factory: pytest.TempPathFactory, tiny_llama: Path, tiny_adapter: Path) -> Path:
    """A database with the locate run ``found`` and the patch run ``moved``, with controls."""
    donor = f"{tiny_llama}+{tiny_adapter}"
    with Database(tmp_path_factory.mktemp("capability") / "made.duckdb") as db:
        locate(
            db,
            "found",
            LocateOptions(
                before=str(tiny_llama),
                after=donor,
                prompts=SOURCE,
                writing=WritingOptions(max_new_tokens=6),
                keep="none",
            ),
        )
        options = PatchOptions(
            recipient=str(tiny_llama),
            donor=donor,
            neurons=("found:20%", "found:0", "all"),
            prompts=SOURCE,
            judging=JudgingOptions(("refusal", "demo:cost")),
            writing=WritingOptions(max_new_tokens=8),
            allow_overlap=True,
        )
        patch(db, "moved", options)
        return db.path


@pytest.fixture
def made(db: Database, patched_db: Path) -> Database:
    """The database above, to write to."""
    shutil.copy(patched_db, db.path)
    return db


Logits = Callable[..., torch.Tensor]


@pytest.fixture(scope="session")
def logits_by_hand(tiny_pair: Models) -> Logits:
    """The logits of a text, patched neuron by neuron: ``logits(ids, neurons, change)``; no neurons: the recipient."""

    def call(ids: Sequence[int], neurons: NeuronSet | None = None, change: Any = None) -> torch.Tensor:
        return read_all(tiny_pair["recipient"], tiny_pair["donor"], ids, neurons, change)

    return call
