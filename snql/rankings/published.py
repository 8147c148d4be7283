"""Score files that the published code saved: change scores, ranks, means and deviations.

The file holds a tuple (change_scores, neuron_ranks, first_mean, first_std, second_mean, second_std), for L
layers of N neurons each Float[Tensor, "L N"], the ranks Int[Tensor, "L*N 2"]: (layer, neuron) by falling score. The
published code calls the aligned model first, which is snql's *after*, and the model that wrote second, *before*.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from snql.errors import InputError
from snql.neurons.sets import Shape
from snql.rankings.score_files import plain

KIND = "change scores of the published code"
_PARTS = ("change_scores", "neuron_ranks", "first_mean", "first_std", "second_mean", "second_std")
MOST_LAYERS = 32_767
Values = npt.NDArray[np.float64]


def is_published(held: Any) -> bool:
    """Whether what a file holds looks like a score file of the published code, sound or not: no vectors alone."""
    return isinstance(held, tuple | list) and not (held and all(plain(part) and part.ndim == 1 for part in held))


def published_statistics(file: Path, held: Any, n_layers: int | None) -> tuple[pl.DataFrame, Shape, int]:
    """Statistics of every neuron of the model, its shape, and how many layers the file has scores of.

    Scores, ranks, means and deviations are as they are in the file. n_layers: how many layers the model has, where the
    file leaves out the last ones. Raises InputError for what is no score file of the published code.
    """
    parts = _checked(file, held)
    n_scored, n_neurons = parts["change_scores"].shape
    shape = Shape(n_scored if n_layers is None else n_layers, n_neurons)
    if not n_scored <= shape.n_layers <= MOST_LAYERS:
        raise InputError(
            f"`n_layers` {n_layers}: {file} has scores of {n_scored} layers; give those of the whole model"
        )
    return _statistics(parts, shape), shape, n_scored


def _checked(file: Path, found: Any) -> dict[str, npt.NDArray[Any]]:
    """The parts by name; raises InputError unless they are what the published code saves."""
    if not isinstance(found, tuple | list) or len(found) != len(_PARTS):
        what = f"{len(found)} things" if isinstance(found, tuple | list | dict) else type(found).__name__
        raise _refusal(
            file, f"it holds {what}, not the {len(_PARTS)} tensors {', '.join(_PARTS)}, nor a vector for each layer"
        )
    parts = {name: _array(file, name, tensor) for name, tensor in zip(_PARTS, found, strict=True)}
    scores = parts["change_scores"]
    if scores.ndim != 2 or not scores.size:
        raise _refusal(file, f"change_scores has shape {scores.shape}, not (layers, neurons)")
    for name, part in parts.items():
        wanted = (scores.size, 2) if name == "neuron_ranks" else scores.shape
        if part.shape != wanted:
            raise _refusal(file, f"{name} has shape {part.shape}, not {wanted}")
        if name.endswith("_std"):
            if (part < 0).any() or np.isinf(part).any():
                raise _refusal(file, f"{name} has values that are no standard deviations")
        elif not np.isfinite(part).all():
            raise _refusal(file, f"{name} has values that are not finite")
    if (scores < 0).any():
        raise _refusal(file, "change_scores has negative values")
    _check_ranks(file, parts["neuron_ranks"], scores)
    return parts


def _array(file: Path, name: str, tensor: Any) -> npt.NDArray[Any]:
    import torch

    if not plain(tensor):
        raise _refusal(file, f"{name} is no plain tensor")
    whole = name == "neuron_ranks"
    if tensor.is_complex() or tensor.dtype == torch.bool or tensor.is_floating_point() == whole:
        raise _refusal(file, f"{name} has type {tensor.dtype}, not {'whole' if whole else 'floating-point'} numbers")
    array: npt.NDArray[Any] = tensor.detach().to(torch.int64 if whole else torch.float64).numpy()
    return array


def _check_ranks(file: Path, ranks: npt.NDArray[np.int64], scores: Values) -> None:
    n_layers, n_neurons = scores.shape
    layer, neuron = ranks.T
    if not ((layer >= 0) & (layer < n_layers) & (neuron >= 0) & (neuron < n_neurons)).all():
        raise _refusal(file, "neuron_ranks names neurons that change_scores has not")
    if len(np.unique(layer * n_neurons + neuron)) != scores.size:
        raise _refusal(file, "neuron_ranks does not name every neuron once")
    if (np.diff(scores[layer, neuron]) > 0).any():
        raise _refusal(file, "neuron_ranks is not in the order of change_scores")


def _refusal(file: Path, reason: str) -> InputError:
    return InputError(f"{file} is no score file of the published code: {reason}")


def _statistics(parts: dict[str, npt.NDArray[Any]], shape: Shape) -> pl.DataFrame:
    """One row per neuron of the model, in order; everything is NULL where the file has nothing."""
    scores = parts["change_scores"]
    n_unknown = shape.size - scores.size
    rank = np.empty(scores.shape, dtype=np.int32)
    rank[tuple(parts["neuron_ranks"].T)] = np.arange(1, scores.size + 1)
    known = {
        "score": scores,
        "mean_before": parts["second_mean"],
        "mean_after": parts["first_mean"],
        "std_before": parts["second_std"],
        "std_after": parts["first_std"],
        "mean_difference": parts["first_mean"] - parts["second_mean"],
        "rank": rank,
    }
    columns = {name: pl.Series(values.ravel()).extend_constant(None, n_unknown) for name, values in known.items()}
    places = {
        "layer": np.repeat(np.arange(shape.n_layers, dtype=np.int16), shape.n_neurons),
        "expert": pl.repeat(None, shape.size, dtype=pl.Int16, eager=True),
        "neuron": np.tile(np.arange(shape.n_neurons, dtype=np.int32), shape.n_layers),
        "n_tokens": pl.repeat(None, shape.size, dtype=pl.Int64, eager=True),
    }
    return pl.DataFrame({**places, **columns}).with_columns(pl.col("std_before", "std_after").fill_nan(None))
