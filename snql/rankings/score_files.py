"""Files with scores or sets of neurons that other programs wrote, as tables: layer, expert, neuron, score.

Arrays: one of (layers, neurons) or (layers, experts, neurons), numbers that are scores, or truth values that are a set.
Or a vector for each layer, named by it. Tables: columns layer, neuron, expert if there are any, and a number for each.
Lists: neurons, best first, as ``12.345`` or ``L12.N345`` in text, a score after each or none, or in JSON. Nothing in a
file is run.
"""

import json
import pickle
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from snql.errors import InputError, reason
from snql.neurons.sets import NEURON, Shape
from snql.prompts.sizes import check_zip, read_parquet
from snql.rankings.layered import SCHEMA, WIDEST, layers_of, list_rows, vector_rows, vectors_of

if TYPE_CHECKING:
    import torch

SCORES = ("scores", "score", "change_scores", "mask")
"""Names of arrays, and of columns, that are taken where several could be meant; the first that is there."""
_PLACES = ("layer", "expert", "neuron")
_MOST_BYTES = 4 << 30
_MOST_DIMENSION = 1 << 24
_PACKED = (b"\x1f\x8b", b"\x78\x01", b"\x78\x9c", b"\x78\xda", b"\x28\xb5\x2f\xfd")
"""How gzip, zlib and zstd begin, which Polars would unpack, however much it is."""

_NO_SCORE = ["", "NA", "N/A", "NaN", "nan", "null", "NULL", "None"]
"""What other programs write in a table where there is no number."""

_UNREADABLE = (OSError, EOFError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, pickle.PickleError)
"""What torch.load raises for files that are damaged, or hold what weights_only refuses."""


@dataclass(frozen=True)
class Found:
    """What a file holds. shape: of the model, as far as the file says; None where it does not.

    rows: those of SCHEMA, expert NULL in a dense model; in the order of the file. A set has the score 1 for each
    neuron. what: the array or column that was read.
    """

    rows: pl.DataFrame
    shape: Shape | None
    what: str


def load_tensors(file: Path) -> Any:
    """What a file of torch holds, tensors and plain containers only: nothing in it is run."""
    import torch

    _check_zip(file)
    try:
        return torch.load(file, map_location="cpu", weights_only=True)
    except _UNREADABLE as error:
        raise InputError(
            f"{file} is not a sound file of tensors alone, as torch saves them: nothing else is read from it; give the "
            "score file (.pt) of the published code, a tensor of (layers, neurons), or a file of another kind"
        ) from error


def plain(tensor: Any) -> bool:
    """Whether it is a tensor with a place for each element: else a small file could claim to be of any size."""
    import torch

    if not isinstance(tensor, torch.Tensor) or tensor.layout != torch.strided:
        return False
    return tensor.numel() * tensor.element_size() <= tensor.untyped_storage().nbytes()


def read_tensors(file: Path, held: Any, column: str | None) -> Found:
    """A tensor, one of a dictionary of tensors, or a vector for each layer, in a list or by names."""
    named = dict(enumerate(held)) if isinstance(held, list | tuple) else held
    if isinstance(named, dict):
        return _of_named(
            file, {str(name): _numpy(each) if plain(each) else None for name, each in named.items()}, column
        )
    return _of_arrays(file, {"tensor": _numpy(held)} if plain(held) else {}, None)


def read_file(file: Path, column: str | None) -> Found:
    """Read a file by its ending; raises InputError for another, and for one that does not hold what its ending says.

    column: the array or column with the scores, where there are several.
    """
    read = READERS.get(file.suffix.lower())
    if read is None:
        raise InputError(f"{file} has no ending that is known: use {', '.join(('.pt', *READERS))}")
    if not file.is_file():
        raise InputError(f"{file} is a device or a pipe: name a file with scores")
    if file.stat().st_size > _MOST_BYTES:
        raise InputError(f"{file} is larger than {_MOST_BYTES >> 30} GiB, which scores of neurons are not")
    return read(file, column)


def _numpy(tensor: "torch.Tensor") -> npt.NDArray[Any]:
    import torch

    wanted = tensor.to(torch.float64) if tensor.is_floating_point() else tensor
    return wanted.detach().numpy()


def _npy(file: Path, _: str | None) -> Found:
    return _of_arrays(file, {"array": _numpy_file(file)}, None)


def _npz(file: Path, column: str | None) -> Found:
    held = _numpy_file(file)
    try:
        arrays = {name: held[name] for name in held.files}
    except (OSError, ValueError, EOFError, KeyError) as error:
        raise _refusal(file, f"it is damaged, or holds more than numbers: {reason(error, 100)}") from error
    return _of_named(file, arrays, column)


def _numpy_file(file: Path) -> Any:
    _check_zip(file)
    try:
        return np.load(file, allow_pickle=False)
    except Exception as error:  # zipfile and numpy raise many kinds for damaged files
        raise _refusal(file, f"it is damaged, or holds more than numbers: {reason(error, 100)}") from error


def _check_zip(file: Path) -> None:
    try:
        check_zip(file)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise _refusal(file, reason(error, 100)) from error


def _safetensors(file: Path, column: str | None) -> Found:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        held = load_file(file)
    except (OSError, SafetensorError, ValueError, RuntimeError) as error:
        raise _refusal(file, f"it is no sound safetensors file: {reason(error, 100)}") from error
    return read_tensors(file, dict(held), column)


def _of_named(file: Path, named: Mapping[str, npt.NDArray[Any] | None], column: str | None) -> Found:
    """One of the arrays, or if there are but vectors and none is asked for, one for each layer; None: no array."""
    arrays = {name: array for name, array in named.items() if array is not None}
    vectors = {name: array for name, array in arrays.items() if array.ndim == 1}
    if column is not None or not vectors or any(array.ndim in (2, 3) for array in arrays.values()):
        return _of_arrays(file, arrays, column)
    for other in named.keys() - vectors.keys():
        with suppress(ValueError):
            layers_of([next(iter(vectors)), other])
            raise _refusal(file, f"{other[:60]!r} is named as a layer is, and is no vector")
    return _of_vectors(file, vectors)


def _of_arrays(file: Path, arrays: Mapping[str, npt.NDArray[Any]], column: str | None) -> Found:
    scores = {name: array for name, array in arrays.items() if array.ndim in (2, 3) and array.size}
    name = _chosen(file, scores, column, "array of (layers, neurons) or (layers, experts, neurons)")
    array = scores[name]
    if max(array.shape) > _MOST_DIMENSION or array.dtype.kind not in "biuf":
        raise _refusal(file, f"{name} has shape {array.shape} and type {array.dtype}, which no scores have")
    n_experts = array.shape[1] if array.ndim == 3 else 1
    shape = Shape(array.shape[0], array.size // array.shape[0], n_experts)
    values = array.ravel().astype(np.float64)
    kept = np.flatnonzero(array.ravel()) if array.dtype.kind == "b" else np.flatnonzero(~np.isnan(values))
    if not len(kept):
        raise _refusal(file, f"{name} names no neuron: all of it is {'false' if array.dtype.kind == 'b' else 'NaN'}")
    rows = pl.DataFrame(
        {
            "layer": kept // shape.n_neurons,
            "expert": (kept % shape.n_neurons) // shape.per_expert,
            "neuron": kept % shape.per_expert,
            "score": values[kept],
        },
        schema=SCHEMA,
    )
    return Found(_dense(rows) if n_experts == 1 else rows, shape, name)


def _of_vectors(file: Path, vectors: Mapping[str, npt.NDArray[Any]]) -> Found:
    try:
        rows, n_neurons, whole = vector_rows(vectors)
    except ValueError as error:
        raise _refusal(
            file, f"it has no array of (layers, neurons), and as vectors of one layer each: {error}"
        ) from error
    return Found(_checked(file, rows), Shape(len(vectors), n_neurons) if whole else None, "a vector for each layer")


def _chosen(file: Path, found: Iterable[str], column: str | None, what: str) -> str:
    """The one that is meant; raises InputError where this is not known."""
    names = list(found)
    if column is not None:
        if column not in names:
            raise _refusal(file, f"`column` {column!r} is no {what} in it; there are {_listed(names)}")
        return column
    wanted = [name for name in SCORES if name in names] or names
    if not names or (len(names) > 1 and wanted == names and wanted[0] not in SCORES):
        raise _refusal(
            file, f"which {what}? There are {_listed(names)}" + ("; name one with `column`" * (len(names) > 1))
        )
    return wanted[0]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:12]) + (", …" if len(names) > 12 else "") if names else "none"


def _table(file: Path, column: str | None) -> Found:
    separator = "\t" if file.suffix.lower() == ".tsv" else ","
    try:
        with file.open("rb") as opened:
            if file.suffix.lower() == ".parquet":
                frame = read_parquet(opened)
            elif opened.read(4).startswith(_PACKED):
                raise ValueError("it is compressed: unpack it")
            else:
                frame = pl.read_csv(file, separator=separator, infer_schema_length=None, null_values=_NO_SCORE)
    except (pl.exceptions.PolarsError, pa.ArrowException, OSError, ValueError) as error:
        raise _refusal(file, f"it cannot be read as a table: {reason(error, 100)}") from error
    return _of_table(file, frame, column)


def _of_table(file: Path, frame: pl.DataFrame, column: str | None) -> Found:
    places = {name.lower(): name for name in frame.columns if name.lower() in _PLACES}
    if not {"layer", "neuron"} <= places.keys():
        raise _refusal(file, f"it has columns {_listed(frame.columns)}: layer and neuron are needed")
    frame = frame.rename({name: place for place, name in places.items()})
    if "expert" not in frame.columns:
        frame = frame.with_columns(expert=pl.lit(None, dtype=pl.Int64))
    for name in _PLACES:
        if not frame[name].dtype.is_integer() and frame[name].dtype != pl.Null:
            raise _refusal(file, f"column {name} has type {frame[name].dtype}, not whole numbers")
    others = [name for name in frame.columns if name not in (*_PLACES, "rank")]
    numbers = [name for name in others if frame[name].dtype.is_numeric()]
    if column is None and not numbers:
        _check_a_set(file, frame.select(others))
        return Found(_checked(file, frame.with_columns(score=1.0).select(*SCHEMA)), None, "a set")
    name = _chosen(file, numbers, column, "column of numbers")
    rows = frame.select(*_PLACES, score=pl.col(name).cast(pl.Float64)).filter(pl.col("score").is_not_null())
    return Found(_checked(file, rows.filter(~pl.col("score").is_nan())), None, name)


def _check_a_set(file: Path, others: pl.DataFrame) -> None:
    """Raise InputError for a column that was meant to be of scores: none may be lost without a word."""
    for name in others.columns:
        read = (
            others[name].cast(pl.Float64, strict=False) if others[name].dtype == pl.String else others[name].is_null()
        )
        if name in SCORES or read.is_not_null().any():
            wrong = others.filter(read.is_null() & pl.col(name).is_not_null())[name].cast(pl.String)
            why = (
                f"has {wrong[0][:40]!r}, which is no number; leave such cells empty" if len(wrong) else "has no number"
            )
            raise _refusal(file, f"column {name} {why}")


def _text(file: Path, _: str | None) -> Found:
    """A neuron on each line, after a blank its score on all lines or none; or neurons with commas between."""
    parts = [part.split() for line in _read_text(file).splitlines() for part in line.split("#")[0].split(",")]
    parts = [words for words in parts if words]
    counts = {len(words) for words in parts}
    if counts - {1, 2} or len(counts) > 1:
        raise _refusal(file, "each line must have one neuron, or each a neuron, a blank and its score")
    items = ((words[0], words[1] if len(words) > 1 else 1.0) for words in parts)
    return _of_items(file, items, "a list with scores" if counts == {2} else "a list")


def _json(file: Path, column: str | None) -> Found:
    """A list of neurons, or an object with such a list as ``neurons`` and the model's shape beside it."""
    try:
        held = json.loads(_read_text(file))
    except (ValueError, RecursionError) as error:
        raise _refusal(file, f"it is no JSON: {reason(error, 100)}") from error
    if isinstance(held, dict) and isinstance(held.get("neurons"), list):
        return replace(_listed_in_json(file, held["neurons"], column), shape=_stated(file, held))
    if isinstance(held, dict):
        return _by_layer(file, held)
    return _listed_in_json(file, held if isinstance(held, list) else [held], column)


def _by_layer(file: Path, held: Mapping[str, Any]) -> Found:
    """``{"12": [345, 7]}``, neurons by layer, or ``{"12": [0.5, …]}``, scores of all neurons of each."""
    if not held or not all(isinstance(values, list) for values in held.values()):
        raise _refusal(file, "it is neither a list of neurons nor lists by layer")
    try:
        if (vectors := vectors_of(held)) is not None:
            return _of_vectors(file, vectors)
        layers = layers_of(held)
        rows, _ = list_rows([[layers[name], neuron] for name, neurons in held.items() for neuron in neurons])
    except ValueError as error:
        raise _refusal(file, str(error)) from error
    return Found(_checked(file, rows), None, "a list")


def _listed_in_json(file: Path, listed: Sequence[Any], column: str | None) -> Found:
    if listed and all(isinstance(item, dict) for item in listed):
        try:
            return _of_table(file, pl.DataFrame(listed, infer_schema_length=None), column)
        except pl.exceptions.PolarsError as error:
            raise _refusal(file, f"its rows are not alike: {reason(error, 100)}") from error
    if listed and all(isinstance(item, list) for item in listed):
        return _of_lists(file, listed)
    if unquoted := [item for item in listed if not isinstance(item, str)]:
        raise _refusal(file, f'{str(unquoted[0])[:40]} is no neuron: write "12.345" with quotes, or [12, 345]')
    return _of_items(file, ((item, 1.0) for item in listed), "a list")


def _of_lists(file: Path, lists: Sequence[Sequence[Any]]) -> Found:
    """A neuron each, or a layer each: the scores of all its neurons."""
    try:
        if min(map(len, lists)) > WIDEST and (vectors := vectors_of({str(at): row for at, row in enumerate(lists)})):
            return _of_vectors(file, vectors)
        rows, scored = list_rows(lists)
    except ValueError as error:
        raise _refusal(file, str(error)) from error
    return Found(_checked(file, rows), None, "a list with scores" if scored else "a list")


def _stated(file: Path, held: Mapping[str, Any]) -> Shape | None:
    """The shape that an exported set says it is of."""
    sizes = [held.get(name, 1 if name == "n_experts" else None) for name in ("n_layers", "n_neurons", "n_experts")]
    if sizes[0] is None and sizes[1] is None:
        return None
    if not all(isinstance(size, int) and 0 < size <= _MOST_DIMENSION for size in sizes) or sizes[1] % sizes[2]:
        raise _refusal(file, f"n_layers, n_neurons and n_experts are {sizes}, which no model has")
    return Shape(*sizes)


def _of_items(file: Path, items: Iterable[tuple[str, Any]], what: str) -> Found:
    rows = []
    for text, score in items:
        match = NEURON.fullmatch(text)
        if match is None:
            raise _refusal(file, f"{text[:40]!r} is no neuron: write 12.345 or L12.N345, with an expert 12.3.345")
        places = (match["l"] or match["layer"], match["e"] or match["expert"], match["n"] or match["neuron"])
        try:
            rows.append((*(None if place is None else int(place[:18]) for place in places), float(score)))
        except ValueError as error:
            raise _refusal(file, f"{str(score)[:40]!r} is no number, the score of {text}") from error
    return Found(_checked(file, pl.DataFrame(rows, schema=SCHEMA, orient="row")), None, what)


def _read_text(file: Path) -> str:
    try:
        return file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(file, f"it is no text: {reason(error, 100)}") from error


def _checked(file: Path, rows: pl.DataFrame) -> pl.DataFrame:
    """The rows as SCHEMA has them; raises InputError unless each is of a neuron, and of one that no other is of."""
    rows = rows.cast(pl.Schema(SCHEMA))
    if rows.is_empty():
        raise _refusal(file, "it names no neuron")
    if rows.select(pl.any_horizontal(pl.col("layer", "neuron").is_null()).any()).item():
        raise _refusal(file, "a row has no layer or no neuron")
    least = rows.select(pl.min_horizontal(pl.col(*_PLACES).min())).item()
    most = rows.select(pl.max_horizontal(pl.col(*_PLACES).max())).item()
    if least < 0 or most > _MOST_DIMENSION:
        raise _refusal(file, f"it has a layer, expert or neuron {least if least < 0 else most}, which no model has")
    if twice := rows.filter(pl.struct(_PLACES).is_duplicated()).select(_PLACES).rows()[:1]:
        raise _refusal(file, f"a neuron is in it twice: layer {twice[0][0]}, neuron {twice[0][2]}")
    return rows


def _dense(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.with_columns(expert=pl.lit(None, dtype=pl.Int64))


def _refusal(file: Path, why: str) -> InputError:
    return InputError(f"no scores or neurons can be read from {file}: {why}")


READERS: dict[str, Callable[[Path, str | None], Found]] = {
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
    ".csv": _table,
    ".tsv": _table,
    ".parquet": _table,
    ".json": _json,
    ".txt": _text,
}
