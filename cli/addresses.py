"""Libraries for models where the addresses of a process are limited (``ulimit -v``) to less than they take.

Some of them wait there for ever, for memory that they never get; so they are not loaded.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

from snql.errors import RunError

_FEWEST = 2_000_000_000
"""Bytes. With more than that, and less than they take, libraries say that there is not enough memory."""
_LIBRARIES = ("torch", "scipy.linalg")


class _Refusing(MetaPathFinder, Loader):
    """Finds the libraries, for those who only ask whether they are there, and loads none."""

    def __init__(self, most: int) -> None:
        self._most = most

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        return ModuleSpec(fullname, self) if fullname in _LIBRARIES else None

    def exec_module(self, module: ModuleType) -> None:
        raise RunError(
            f"not enough memory: this process may use {self._most / 1e9:.3g} GB of addresses (ulimit -v), and "
            f"libraries for models, such as {module.__name__}, take 4 GB: raise the limit"
        )


def refuse_without_room() -> None:
    """From here on, refuse to load such libraries if this process's addresses are too few for them."""
    if sys.platform == "win32":
        return
    import resource

    most, _ = resource.getrlimit(resource.RLIMIT_AS)
    if most != resource.RLIM_INFINITY and most < _FEWEST:
        sys.meta_path.insert(0, _Refusing(most))
