"""Guards: a few neurons tell, before anything is written, whether an answer would be harmful (arXiv 2406.14144)."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from snql.guard.attached import Attached as Attached
    from snql.guard.model import Guard as Guard


def __getattr__(name: str) -> Any:
    if name in ("Attached", "Guard"):  # when it is asked for: they import torch
        from snql.guard import model

        return getattr(model, name)
    raise AttributeError(f"module 'snql.guard' has no attribute {name!r}")
