"""Numbers without names of columns, as rows of layer, expert, neuron, score: a vector for each layer, or plain lists.

Everything here raises ValueError for what is neither, or could mean two things.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

SCHEMA = {"layer": pl.Int64, "expert": pl.Int64, "neuron": pl.Int64, "score": pl.Float64}
_NAME = re.compile(r"(?!-)(\D*)(\d{1,9})(\D*)", re.ASCII)
WIDEST = 4
"""Numbers of a list that can be of one neuron: layer, expert, neuron and score. A longer list is a layer's scores."""


def layers_of(names: Iterable[str]) -> dict[str, int]:
    """The layer of each name that has one number in it, as ``model.layers.3.mlp``; the rest must be alike."""
    found, first = {}, None
    for name in names:
        match = _NAME.fullmatch(name)
        if match is None:
            raise ValueError(f"{name[:60]!r} is no name with one number, that of a layer")
        first = first or match
        if match.group(1, 3) != first.group(1, 3):
            raise ValueError(f"{first[0][:60]!r} and {name[:60]!r} differ in more than the number of a layer")
        found[name] = int(match[2])
    if len(set(found.values())) < len(found):
        raise ValueError("two names are of one layer")
    return found


def vector_rows(vectors: Mapping[str, npt.NDArray[Any]]) -> tuple[pl.DataFrame, int, bool]:
    """Rows of SCHEMA from vectors by the names of their layers; neurons of each layer; whether no layer is missing.

    NaN is no score; of truth values, the true ones are a set.
    """
    layers = layers_of(vectors)
    sizes, kinds = {vector.size for vector in vectors.values()}, {vector.dtype.kind for vector in vectors.values()}
    if len(sizes) > 1:
        raise ValueError(f"its layers are not of one length, but of {min(sizes)} to {max(sizes)} numbers")
    if kinds not in ({"b"}, {"f"}):
        raise ValueError("whole numbers by layer could be scores or neurons: store scores as floating-point numbers")
    ordered = sorted(vectors, key=layers.__getitem__)
    places, size = np.array([layers[name] for name in ordered]), sizes.pop()
    values = np.concatenate([vectors[name] for name in ordered])
    kept = np.flatnonzero(values if kinds == {"b"} else ~np.isnan(values))
    columns = {"layer": places[kept // size], "neuron": kept % size, "score": values[kept].astype(np.float64)}
    rows = pl.DataFrame(columns).with_columns(expert=pl.lit(None, dtype=pl.Int64)).select(*SCHEMA)
    return rows, size, places[-1] + 1 == len(places)


def vectors_of(lists: Mapping[str, Sequence[Any]]) -> dict[str, npt.NDArray[Any]] | None:
    """Lists of JSON as vectors, if they hold scores or truth values and not whole numbers, which name neurons."""
    every = [value for values in lists.values() for value in values]
    if every and all(isinstance(value, bool) for value in every):
        return {name: np.array(values, dtype=np.bool_) for name, values in lists.items()}
    if not any(isinstance(value, float) for value in every) or not all(map(_is_number, every)):
        return None
    return {name: np.array([_score(value) for value in values], dtype=np.float64) for name, values in lists.items()}


def list_rows(lists: Sequence[Sequence[Any]]) -> tuple[pl.DataFrame, bool]:
    """Rows of SCHEMA from lists of one neuron each, and whether they have scores.

    A list is layer and neuron, or layer, expert and neuron, and may end in a score. Three whole numbers are without.
    """
    widths = {len(numbers) for numbers in lists}
    if not widths:
        raise ValueError("it names no neuron")
    if len(widths) > 1 or not 1 < max(widths) <= WIDEST:
        raise ValueError("its lists are not alike, or are neither [layer, neuron] nor [layer, neuron, score]")
    if wrong := [value for numbers in lists for value in numbers if not _is_number(value)]:
        raise ValueError(f"{str(wrong[0])[:40]!r} in one of its lists is no number")
    width = widths.pop()
    scored = width == WIDEST or (width > 2 and any(not isinstance(numbers[-1], int) for numbers in lists))
    rows = [_row(numbers, scored=scored) for numbers in lists]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row").filter(pl.col("score").is_not_nan()), scored


def _row(numbers: Sequence[Any], *, scored: bool) -> tuple[int, int | None, int, float]:
    places = [_place(number) for number in (numbers[:-1] if scored else numbers)]
    expert = places[1] if len(places) > 2 else None
    return places[0], expert, places[-1], _score(numbers[-1]) if scored else 1.0


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _place(number: Any) -> int:
    """A layer, expert or neuron; one that is too large for a column is of another model anyway."""
    if number is None or number != number or number != round(min(max(number, 0), 1 << 60)):
        raise ValueError(f"{str(number)[:40]} is no layer, expert or neuron")
    return int(number)


def _score(number: Any) -> float:
    try:
        return float("nan") if number is None else float(number)
    except OverflowError as error:
        raise ValueError(f"a score of {str(number)[:20]}… is beyond what numbers of 64 bits hold") from error
