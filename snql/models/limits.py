"""Files of somebody else's model, before and while it is built from them: sizes that no model has, and any error."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from snql.errors import ModelError, SnqlError, reason

_MOST: Mapping[str, int] = {
    "num_hidden_layers": 4_096,
    "n_layer": 4_096,
    "n_layers": 4_096,
    "hidden_size": 1 << 18,
    "n_embd": 1 << 18,
    "intermediate_size": 1 << 21,
    "moe_intermediate_size": 1 << 21,
    "ffn_dim": 1 << 21,
    "n_inner": 1 << 21,
    "vocab_size": 1 << 23,
    "num_attention_heads": 1 << 14,
    "num_key_value_heads": 1 << 14,
    "n_head": 1 << 14,
    "head_dim": 1 << 14,
    "num_local_experts": 1 << 14,
    "num_experts": 1 << 14,
    "max_position_embeddings": 1 << 31,
}
"""Far above any model there is; what is built of more takes the machine's memory, or hours."""
_MOST_BYTES = 64 << 20
"""Of a configuration or tokenizer file: the largest tokenizers have 35 MB."""
_SMALL = 1 << 20
"""Bytes of a file that is read twice, to find nesting that Python's reader cannot follow; that of tokenizers can."""
_ATTENTION = ("attn_implementation", "_attn_implementation", "_attn_implementation_internal")
_SECTIONS = ("text_config", "llm_config", "language_config", "decoder")


@contextmanager
def built(what: str) -> Iterator[None]:
    """Any error of building a model from its files as one line; errors that snql foresaw pass.

    Raises ModelError. MemoryError passes, and what is no error of a program: Ctrl-C.
    """
    try:
        yield
    except (SnqlError, MemoryError):
        raise
    except Exception as error:
        cause = reason(error, 200)
        said = cause if cause == type(error).__name__ else f"{type(error).__name__}: {cause}"
        raise ModelError(
            f"{what} cannot be loaded ({said}): its files are damaged, of two models, or of a kind that is not known"
        ) from error


def check_files(what: str, folder: Path) -> None:
    """Raise ModelError for files that are too large to be read, and for a config.json of sizes that no model has."""
    for path in sorted(folder.glob("*.json")):
        size = path.stat().st_size
        if size > _MOST_BYTES:
            raise ModelError(f"{what}: {path.name} has more than {_MOST_BYTES >> 20} MB: fetch it again")
        found = _read(what, path) if size <= _SMALL or path.name == "config.json" else None
        if path.name == "config.json":
            check_config(what, found)


def _read(what: str, path: Path) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelError(f"{what} has an unreadable {path.name} ({reason(error, 100)}): fetch it again") from error


def check_config(what: str, config: Any) -> None:
    """Raise ModelError for a configuration that is none, or of sizes or code that no model has."""
    if not isinstance(config, dict):
        raise ModelError(f"{what} has a config.json that is no object: fetch it again")
    for name, most in _MOST.items():
        size = config.get(name)
        for each in size if isinstance(size, list) else [] if size is None else [size]:  # of some models by layer
            if isinstance(each, bool) or not isinstance(each, int) or not 1 <= each <= most:
                raise ModelError(f"{what}: config.json has {name} {_short(each)}, not a number from 1 to {most:,}")
    for name in _ATTENTION:
        if "/" in str(config.get(name, "")):
            raise ModelError(
                f"{what}: config.json has {name} {_short(config[name])}, which is code to load: leave it out"
            )
    for name in _SECTIONS:
        if isinstance(config.get(name), dict):
            check_config(what, config[name])


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:59]}…"
