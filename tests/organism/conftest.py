"""One tiny build, shared by the tests that look at what a build writes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from snql.organism.factory.build import build


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the manifest of a tiny build with seed 3."""
    pytest.importorskip("trl", reason="trl is not installed (extra train)")
    out = tmp_path_factory.mktemp("organism")
    return out, build(out, seed=3, scale="tiny")
