"""Model specs: ``BASE[@REVISION][+ADAPTER[@REVISION]]…``, each part a local folder or a hub id.

``demo:NAME`` stands for a model of the bundled organism. Parsing touches no model library.
"""

from dataclasses import dataclass
from pathlib import Path

from snql.errors import InputError
from snql.organism import bundled

DEMO_PREFIX = "demo:"


@dataclass(frozen=True)
class PartSpec:
    """A base or an adapter: a local folder or a hub id, with the hub revision if one was given."""

    location: str
    revision: str | None = None

    def __str__(self) -> str:
        return self.location if self.revision is None else f"{self.location}@{self.revision}"


@dataclass(frozen=True)
class ModelSpec:
    """A base and the adapters applied to it in order. ``text`` is what the user wrote."""

    text: str
    base: PartSpec
    adapters: tuple[PartSpec, ...] = ()


def parse_model_spec(text: str) -> ModelSpec:
    """Parse one model spec; raises InputError for an empty part or an unknown ``demo:`` name."""
    if text.strip() and Path(text).is_dir():
        return ModelSpec(text, PartSpec(text))
    parts = text.split("+")
    if not all(part.strip() for part in parts):
        raise InputError(f"model spec {text!r} has an empty part: write BASE[@REVISION][+ADAPTER[@REVISION]]…")
    first, *rest = (part.strip() for part in parts)
    base, adapters = _parse_base(first)
    return ModelSpec(text, base, (*adapters, *(_parse_adapter(part) for part in rest)))


def _parse_base(part: str) -> tuple[PartSpec, tuple[PartSpec, ...]]:
    if not part.startswith(DEMO_PREFIX):
        return parse_part(part), ()
    base, adapters = _demo(part)
    return PartSpec(str(base)), tuple(PartSpec(str(adapter)) for adapter in adapters)


def _parse_adapter(part: str) -> PartSpec:
    if not part.startswith(DEMO_PREFIX):
        return parse_part(part)
    _, adapters = _demo(part)
    if not adapters:
        raise InputError(f"{part!r} is a base model, not an adapter: put it first in the model spec")
    return PartSpec(str(adapters[-1]))


def parse_part(part: str) -> PartSpec:
    """A folder, or NAME@REVISION; raises InputError if one of the two is empty."""
    if Path(part).is_dir() or "@" not in part:
        return PartSpec(part)
    location, revision = part.rsplit("@", 1)
    if not location or not revision:
        raise InputError(f"model spec part {part!r} is malformed: write NAME@REVISION")
    return PartSpec(location, revision)


def _demo(part: str) -> tuple[Path, tuple[Path, ...]]:
    try:
        return bundled.model_spec(part.removeprefix(DEMO_PREFIX))
    except KeyError as error:
        known = ", ".join(DEMO_PREFIX + name for name in bundled.model_names())
        raise InputError(f"no bundled model {part!r}: the bundled models are {known}") from error
