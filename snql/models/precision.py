"""How models' weights are stored: a pair that mixes ways differs by quantisation, too."""

from collections.abc import Mapping
from typing import Any

from snql.models.loaded import LoadedModel

PLAIN = "not quantised"


def stored_as(model: LoadedModel) -> str:
    """``GGUF`` (of whatever type its tensors are), the method of a quantised checkpoint, or PLAIN."""
    if model.base.files.gguf is not None:
        return "GGUF"
    found: Any = getattr(model.base.model.config, "quantization_config", None)
    if found is None:
        return PLAIN
    method = found.get("quant_method") if isinstance(found, Mapping) else getattr(found, "quant_method", None)
    return f"quantised ({getattr(method, 'value', method) or 'unknown method'})"


def mixed_note(models: Mapping[str, LoadedModel]) -> str | None:
    """What a run of such a pair must be read with, and what measures it; None where all are stored alike."""
    ways = {role: stored_as(model) for role, model in models.items()}
    if len(set(ways.values())) < 2:
        return None
    told = ", ".join(f"{role}: {way}" for role, way in ways.items())
    return (
        f"weights are stored in different ways ({told}): the models differ by quantisation, too. To see by how much, "
        "locate one model stored in both ways, and compare: `snql stability RUN --floor THAT`"
    )
