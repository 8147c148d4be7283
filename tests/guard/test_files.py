"""Saving and loading: what is saved comes back; what was tampered with is refused in one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import snql.guard
from snql.errors import InputError
from snql.guard import files
from snql.guard.attached import Attached
from snql.guard.model import Guard
from snql.neurons.sets import Shape

from .conftest import made


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made().save(tmp_path / "guard")
    return tmp_path / "guard"


@pytest.mark.parametrize("shape", [Shape(3, 40), Shape(2, 60, 3)])
def test_what_is_saved_comes_back(tmp_path: Path, shape: Shape) -> None:
    guard = made(shape)
    guard.save(tmp_path / "new" / "guard")
    assert {path.name for path in (tmp_path / "new" / "guard").iterdir()} == {"guard.json", "guard.safetensors"}
    again = Guard.load(tmp_path / "new" / "guard")
    assert again.neurons == guard.neurons
    for name in ("weights", "means", "scales"):
        assert np.array_equal(getattr(again.linear, name), getattr(guard.linear, name))
    kept = ("model", "model_id", "template", "threshold", "facts", "snql_version")
    assert [getattr(again, name) for name in kept] == [getattr(guard, name) for name in kept]
    rows = np.random.default_rng(1).normal(size=(5, 12))
    assert np.array_equal(again.probabilities(rows), guard.probabilities(rows))


def test_the_files_say_what_they_are(folder: Path) -> None:
    words = json.loads((folder / "guard.json").read_text("utf-8"))
    assert words["shape"] == {"n_layers": 3, "n_neurons": 40, "n_experts": 1}
    assert (words["model"], words["n_neurons"], words["threshold"]) == ("some/model", 12, 0.5)
    assert (folder / "guard.safetensors").stat().st_mode == (folder / "guard.json").stat().st_mode
    tensors = load_file(folder / "guard.safetensors")
    places = list(zip(tensors["layer"].tolist(), tensors["neuron"].tolist(), strict=True))
    ids = made().neurons.ids
    assert places == [(int(number) // 40, int(number) % 40) for number in ids]


@pytest.mark.parametrize("threshold", [0.0, 1.0])
def test_a_guard_may_refuse_everything_or_next_to_nothing(folder: Path, threshold: float) -> None:
    rewrite(folder, threshold=threshold)
    assert Guard.load(folder).threshold == threshold


def test_a_file_of_words_may_be_as_large_as_that(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = (folder / "guard.json").stat().st_size
    monkeypatch.setattr(files, "_MOST_WORDS", size)
    assert Guard.load(folder).model == "some/model"
    monkeypatch.setattr(files, "_MOST_WORDS", size - 1)
    with pytest.raises(InputError, match=r"guard.json is too large to be a guard's: name another folder"):
        Guard.load(folder)


def test_classes_are_found_when_they_are_asked_for() -> None:
    assert snql.guard.Guard is Guard and snql.guard.Attached is Attached
    with pytest.raises(AttributeError, match="module 'snql.guard' has no attribute 'Judge'"):
        getattr(snql.guard, "Judge")  # noqa: B009


def rewrite(folder: Path, **changes: Any) -> None:
    words = json.loads((folder / "guard.json").read_text("utf-8"))
    kept = {name: value for name, value in (words | changes).items() if value is not None}
    (folder / "guard.json").write_text(json.dumps(kept))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": 2}, "a guard of format 2, newer than 1: upgrade snql"),
        ({"format": None}, "is not that of a guard: it lacks the format 1"),
        ({"shape": {"n_layers": 3, "n_neurons": 20, "n_experts": 1}}, "the model has 3x20 neurons"),
        ({"shape": {"n_layers": 3, "n_neurons": 40.0, "n_experts": 1}}, "40.0 is no whole number"),
        ({"shape": {"n_layers": 3, "n_neurons": 40}}, "'n_experts' is missing"),
        ({"shape": {"n_layers": 0, "n_neurons": 40, "n_experts": 1}}, "no model has the shape"),
        ({"n_neurons": 11}, r"weights is float64 of shape \(12,\), not floats of shape \(11,\)"),
        ({"threshold": 1.5}, "the threshold 1.5 is no probability"),
        ({"threshold": float("nan")}, "the threshold nan is no probability"),
        ({"threshold": "high"}, "could not convert string to float"),
        ({"model": 3}, "model, model_id and snql_version must be text"),
        ({"facts": []}, "facts an object"),
        ({"template": {"odd": 1}}, "unexpected keyword argument 'odd'"),
        ({"template": None}, "'template' is missing"),
    ],
)
def test_words_that_do_not_fit(folder: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(folder, **changes)
    with pytest.raises(InputError, match=message) as caught:
        Guard.load(folder)
    assert "\n" not in str(caught.value)


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("means"), "'means' is missing"),
        (lambda t: t.update(weights=t["weights"][:-1]), r"weights is float64 of shape \(11,\)"),
        (lambda t: t.update(weights=t["weights"].astype(np.int64)), "weights is int64"),
        (lambda t: t["means"].put(2, np.inf), "means has a value that is not finite"),
        (lambda t: t["scales"].put(2, 0), "a scale is not positive"),
        (lambda t: t.update(intercept=np.zeros(2)), r"intercept is float64 of shape \(2,\)"),
        (lambda t: t["neuron"].put(3, 40), "no L[012].N40"),
        (lambda t: t["layer"].put(11, -1), "no L-1"),
        (lambda t: t.update(layer=t["layer"].astype(float)), "must be whole numbers"),
        (lambda t: t.update(layer=t["layer"][::-1].copy()), "neurons must be in order, each once"),
        (lambda t: t.update(neuron=t["neuron"][:4]), "one of each a neuron"),
    ],
)
def test_numbers_that_do_not_fit(folder: Path, change: Change, message: str) -> None:
    tensors = load_file(folder / "guard.safetensors")
    change(tensors)
    save_file(tensors, folder / "guard.safetensors")
    with pytest.raises(InputError, match=message) as caught:
        Guard.load(folder)
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_not_a_guards(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no guard in .*nowhere: it has no guard.json"):
        Guard.load(tmp_path / "nowhere")
    (folder / "guard.safetensors").write_bytes(b"\x80\x04pickled")
    with pytest.raises(InputError, match="cannot be read as safetensors"):
        Guard.load(folder)
    (folder / "guard.safetensors").unlink()
    with pytest.raises(InputError, match="guard.safetensors is missing"):
        Guard.load(folder)
    for text in ("{", "[" * 100_000, "[1]"):
        (folder / "guard.json").write_text(text)
        with pytest.raises(InputError, match="is not JSON|is not that of a guard"):
            Guard.load(folder)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="the guard cannot be written to"):
        made().save(tmp_path / "file")
