"""One tiny build, shared by the tests that look at what a build writes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from snql.organism.factory.build import build


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """The folder and the manifest of a tiny build with seed 3, made by the first process that asks for it."""
    pytest.importorskip("trl", reason="trl is not installed (extra train)")
    shared = "PYTEST_XDIST_WORKER" in os.environ
    root = tmp_path_factory.getbasetemp().parent if shared else tmp_path_factory.mktemp("tiny")
    out = root / "organism"
    with FileLock(root / "organism.lock"):
        if not (out / "manifest.json").exists():
            return out, build(out, seed=3, scale="tiny")
        manifest: dict[str, Any] = json.loads((out / "manifest.json").read_text("utf-8"))
        return out, manifest
