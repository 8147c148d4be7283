"""How many tokens a model can read, and why not more.

Two kinds of rotary position embeddings compute their frequencies from the longest text of the pass: ``dynamic`` beyond
the length that the model was trained on, ``longrope`` by two sets of frequencies, of which the longest text chooses one
for all. Beyond that length the same text would read differently beside another, or before another token: tokens of a
cache were turned by other frequencies than the new ones. Such models are read up to that length only.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

_NAMES = ("max_position_embeddings", "max_seq_len")


@dataclass(frozen=True)
class Context:
    """The most tokens of a text. rope: the type of rotary embeddings whose frequencies change beyond it, if any do."""

    length: int
    rope: str | None = None

    def __str__(self) -> str:
        """To stand after "longer than"."""
        if self.rope is None:
            return f"the model's context of {self.length}"
        return (
            f"{self.length}, beyond which the model's rotary frequencies ({self.rope}) depend on the longest text that "
            "is read at once"
        )


def context_of(model: nn.Module, config: Any) -> Context | None:
    """The context of a Hugging Face model; None if its config does not say, and its frequencies are fixed."""
    text = config.get_text_config()
    lengths = [getattr(text, name, None) for name in _NAMES]
    named = [Context(length) for length in lengths if isinstance(length, int) and length > 0][:1]
    return shortest([*_where_frequencies_change(model), *named])


def shortest(contexts: Iterable[Context | None]) -> Context | None:
    """The context of several models that read the same texts; of equal ones the first."""
    return min((each for each in contexts if each is not None), key=lambda each: each.length, default=None)


def _where_frequencies_change(model: nn.Module) -> Iterator[Context]:
    """What transformers' ``dynamic_rope_update`` compares lengths with, of every rotary embedding of the model."""
    for module in model.modules():
        kinds = getattr(module, "rope_type", None)
        by_layer = kinds if isinstance(kinds, dict) else {None: kinds}
        for layer_type, kind in by_layer.items():
            if isinstance(kind, str) and (length := _unchanged(module, kind, layer_type)) is not None:
                yield Context(length, kind)


def _unchanged(module: Any, kind: str, layer_type: str | None) -> int | None:
    """Up to how many tokens the frequencies stay the same; None if they always do."""
    if "dynamic" in kind:
        return int(module.original_max_seq_len)
    if kind == "longrope":
        parameters = module.config.rope_parameters
        return int((parameters if layer_type is None else parameters[layer_type])["original_max_position_embeddings"])
    return None
