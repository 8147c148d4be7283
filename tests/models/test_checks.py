"""What checking a model costs, and that it is done once for its files."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from snql.errors import ModelError
from snql.models import architectures, load, remembered
from snql.models.checks import Check, Subject, check_model
from snql.models.load import inspect_model, load_models
from snql.models.options import LoadOptions

from .test_architectures import CONFIGS, save_random

CPU = LoadOptions(device="cpu", verify=False)


def scaled(folder: Path, layer: int, factor: float) -> str:
    """A random model with one layer's down-projection multiplied, that of each expert if it has any."""
    tensors = load_file(folder / "model.safetensors")
    for name in tensors:
        if re.search(rf"layers\.{layer}\..*(down_proj|w2)\.weight", name):
            tensors[name] *= factor
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    return str(folder)


def passes_of_checking(folder: str) -> tuple[int, list[bool]]:
    """Forward passes that the checks of a model took, and which of them hold."""
    subject = load._subject(inspect_model(folder, CPU).base)
    batches = []

    def run(ids: torch.Tensor) -> torch.Tensor:
        batches.append(ids.shape)
        return subject.run(ids)

    checks = check_model(replace(subject, run=run))
    return len(batches), [check.ok for check in checks]


def test_layers_are_overwritten_in_one_pass_unless_an_effect_is_faint(tmp_path: Path) -> None:
    sound = save_random(tmp_path / "sound", CONFIGS["llama"]())
    assert passes_of_checking(str(sound)) == (4, [True] * 6)
    faint = save_random(tmp_path / "faint", CONFIGS["llama"]())
    assert passes_of_checking(scaled(faint, 1, 1e-6)) == (6, [True] * 6)


def test_a_dead_layer_of_experts_is_found_among_rows_that_are_routed_anew(tmp_path: Path) -> None:
    folder = save_random(tmp_path / "model", CONFIGS["mixtral"]())
    n_passes, held = passes_of_checking(scaled(folder, 1, 0))
    assert (n_passes, held) == (6, [True] * 5 + [False])


def test_what_held_is_remembered_by_files_and_by_where_neurons_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(remembered.FOLDER, str(tmp_path / "cache"))
    folder = save_random(tmp_path / "model", CONFIGS["llama"]())
    counted = []

    def check(*given: Subject) -> list[Check]:
        counted.append(given)
        return check_model(*given)

    monkeypatch.setattr(load, "check_model", check)
    first, again = (load_models({"m": str(folder)}, CPU)["m"].base.checks for _ in range(2))
    assert again == first
    assert len(counted) == 1
    inspect_model(str(folder), CPU)
    assert len(counted) == 2  # doctor looks again
    load_models({"m": str(folder)}, replace(CPU, dtype="bfloat16"))
    assert len(counted) == 3
    scaled(folder, 0, 0)
    for _ in range(2):  # a failure is not remembered
        with pytest.raises(ModelError, match="layer 0: overwriting neuron"):
            load_models({"m": str(folder)}, CPU)
    assert len(counted) == 5
    right = architectures.ARCHITECTURES["llama"]
    monkeypatch.setitem(architectures.ARCHITECTURES, "llama", replace(right, gate=None))
    with pytest.raises(ModelError, match="neurons equal their formula"):
        load_models({"m": str(save_random(folder, CONFIGS["llama"]()))}, CPU)  # the files that held at first
