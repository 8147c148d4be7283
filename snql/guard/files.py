"""A guard as two files that cannot run code: ``guard.safetensors`` has its numbers, ``guard.json`` everything else."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from snql.errors import InputError
from snql.guard.parts import Linear, Template
from snql.models.ia3 import permit_as
from snql.neurons.sets import Member, NeuronSet, Shape

NUMBERS, WORDS = "guard.safetensors", "guard.json"
FORMAT = 1
_MOST_WORDS = 10_000_000
_VECTORS = ("weights", "means", "scales")
_PLACES = ("layer", "neuron")


def write(folder: Path, words: dict[str, Any], neurons: NeuronSet, linear: Linear) -> None:
    """Write a guard; the JSON file last, so that a folder with it is whole. Raises InputError if it cannot be."""
    tensors = {
        "layer": neurons.layers,
        "neuron": neurons.neurons,
        "weights": linear.weights,
        "means": linear.means,
        "scales": linear.scales,
        "intercept": np.array([linear.intercept]),
    }
    if neurons.experts is not None:
        tensors["expert"] = neurons.experts
    try:
        folder.mkdir(parents=True, exist_ok=True)
        save_file({name: np.ascontiguousarray(values) for name, values in tensors.items()}, folder / NUMBERS)
        (folder / WORDS).write_text(json.dumps(words, indent=2, ensure_ascii=False) + "\n", "utf-8")
        permit_as(folder / NUMBERS, folder / WORDS)
    except (OSError, SafetensorError) as error:
        raise InputError(f"the guard cannot be written to {folder}: {error}") from error


def read(folder: Path) -> tuple[dict[str, Any], NeuronSet, Linear]:
    """A guard's JSON and numbers. Raises InputError for a file that is missing, malformed or of a newer format."""
    words = _read_words(folder / WORDS)
    tensors = _read_numbers(folder / NUMBERS)
    try:
        shape = Shape(**{name: _whole(words["shape"][name]) for name in ("n_layers", "n_neurons", "n_experts")})
        if min(vars(shape).values()) < 1 or shape.n_neurons % shape.n_experts:
            raise ValueError(f"no model has the shape {words['shape']}")
        members, linear = _members(tensors, shape), _linear(tensors, _whole(words["n_neurons"]))
        if len(members) != len(linear.weights):
            raise ValueError(f"{len(members)} different neurons have {len(linear.weights)} weights")
        _check_words(words)
    except (KeyError, TypeError, ValueError, InputError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise InputError(f"{folder} is not a guard as snql saves it ({reason}): save it again") from error
    return words, members, linear


def _check_words(words: dict[str, Any]) -> None:
    """Raises KeyError, TypeError or ValueError for what no guard says of itself."""
    if not 0 <= float(words["threshold"]) <= 1:
        raise ValueError(f"the threshold {words['threshold']} is no probability")
    texts = (words["model"], words["model_id"], words["snql_version"])
    if not all(isinstance(text, str) for text in texts) or not isinstance(words["facts"], dict):
        raise TypeError("model, model_id and snql_version must be text, facts an object")
    Template(**words["template"])


def _read_words(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _MOST_WORDS:
            raise InputError(f"{path} is too large to be a guard's: name another folder")
        found = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"no guard in {path.parent}: it has no {WORDS} that can be read") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path} is not JSON: save the guard again") from error
    known = found.get("format") if isinstance(found, dict) else None
    if isinstance(known, int) and known > FORMAT:
        raise InputError(f"{path.parent} has a guard of format {known}, newer than {FORMAT}: upgrade snql")
    if known != FORMAT:
        raise InputError(f"{path} is not that of a guard: it lacks the format {FORMAT}")
    return dict(found)


def _read_numbers(path: Path) -> dict[str, npt.NDArray[Any]]:
    if not path.is_file():
        raise InputError(f"{path} is missing: the guard is not complete; save it again")
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError, ValueError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise InputError(f"{path} cannot be read as safetensors ({reason}): save the guard again") from error


def _members(tensors: dict[str, npt.NDArray[Any]], shape: Shape) -> NeuronSet:
    names = (*_PLACES, "expert") if shape.routed else _PLACES
    places = [tensors[name] for name in names]
    if any(part.ndim != 1 or part.dtype.kind not in "iu" or len(part) != len(places[0]) for part in places):
        raise ValueError(f"{', '.join(names)} must be whole numbers, one of each a neuron")
    columns = [part.tolist() for part in places]
    rows: list[Member] = [
        (layer, None if not rest else rest[0], neuron) for layer, neuron, *rest in zip(*columns, strict=True)
    ]
    ids = np.array([shape.flat(member) for member in rows], dtype=np.int64)
    if (np.diff(ids) <= 0).any():
        raise ValueError("neurons must be in order, each once")
    return NeuronSet.from_ids(shape, ids)


def _linear(tensors: dict[str, npt.NDArray[Any]], n_neurons: int) -> Linear:
    parts = {name: tensors[name] for name in (*_VECTORS, "intercept")}
    for name, values in parts.items():
        wanted = (1,) if name == "intercept" else (n_neurons,)
        if values.shape != wanted or values.dtype.kind != "f":
            raise ValueError(f"{name} is {values.dtype} of shape {values.shape}, not floats of shape {wanted}")
        if not np.isfinite(values).all():
            raise ValueError(f"{name} has a value that is not finite")
    if not (parts["scales"] > 0).all():
        raise ValueError("a scale is not positive")
    vectors = {name: parts[name].astype(np.float64) for name in _VECTORS}
    return Linear(**vectors, intercept=float(parts["intercept"][0]))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"{value!r} is no whole number")
    return value
