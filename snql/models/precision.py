"""How models' weights are stored: a pair that mixes ways differs by quantisation, too."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from snql.models.loaded import LoadedModel

PLAIN = "not quantised"
_EXACT = {"F32", "BF16"}
"""Types of a GGUF file's tensors that hold what a checkpoint of that type does."""


def stored_as(model: LoadedModel) -> str:
    """``GGUF`` with the types of its matrices, the method of a quantised checkpoint, or PLAIN.

    A GGUF file is read as another program wrote it; one of floats alone is not quantised.
    """
    if model.base.files.gguf is not None:
        types = _gguf_types(model.base.files.files[model.base.files.gguf])
        return PLAIN if set(types) <= _EXACT else f"GGUF {', '.join(types)}"
    found: Any = getattr(model.base.model.config, "quantization_config", None)
    if found is None:
        return PLAIN
    method = found.get("quant_method") if isinstance(found, Mapping) else getattr(found, "quant_method", None)
    return f"quantised ({getattr(method, 'value', method) or 'unknown method'})"


@cache
def _gguf_types(file: Path) -> tuple[str, ...]:
    """The types of a file's matrices; vectors are kept in float32 by all programs."""
    from gguf import GGUFReader

    return tuple(sorted({each.tensor_type.name for each in GGUFReader(file).tensors if len(each.shape) > 1}))


def mixed_note(models: Mapping[str, LoadedModel]) -> str | None:
    """What a run of such a pair must be read with, and what measures it; None where all are stored alike.

    A third model, which only writes, does not count.
    """
    read = {role: model for role, model in models.items() if role != "writer"}
    if len({id(model.base) for model in read.values()}) < 2:
        return None  # and no file is read for its types
    ways = {role: stored_as(model) for role, model in read.items()}
    if len(set(ways.values())) < 2:
        return None
    told = ", ".join(f"{role}: {way}" for role, way in ways.items())
    return (
        f"weights are stored in different ways ({told}): the models differ by quantisation, too. To see by how much, "
        "locate one model stored in both ways, and compare: `snql stability RUN --floor THAT`"
    )
