"""Reports and pages that are made once for all test processes, and databases that are made once in each."""

import json
import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Protocol

import numpy as np
import polars as pl
import pytest
from filelock import FileLock

from snql.db import Database
from snql.reporting.model import RenderedFigure, RenderedTable, Report


def built_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], Report]) -> Report:
    """The report that ``make`` writes below a folder, made by the first process that asks for it.

    Another process reads from disk what it is: its tables then have no frames, its figures no pictures.
    """
    shared = "PYTEST_XDIST_WORKER" in os.environ
    root = factory.getbasetemp().parent if shared else factory.mktemp(name)
    folder, words = root / name, root / f"{name}.json"
    with FileLock(root / f"{name}.lock"):
        if words.exists():
            return _read(json.loads(words.read_text("utf-8")))
        folder.mkdir()
        report = make(folder)
        words.write_text(json.dumps(_words(report)), "utf-8")
        return report


def texts_once(factory: pytest.TempPathFactory, name: str, make: Callable[[], dict[str, str]]) -> dict[str, str]:
    """The texts that ``make`` gives, made by the first process that asks for them."""
    shared = "PYTEST_XDIST_WORKER" in os.environ
    root = factory.getbasetemp().parent if shared else factory.mktemp(name)
    path = root / f"{name}.json"
    with FileLock(root / f"{name}.lock"):
        if not path.exists():
            path.write_text(json.dumps(make()), "utf-8")
        found: dict[str, str] = json.loads(path.read_text("utf-8"))
        return found


def _words(report: Report) -> dict[str, object]:
    return {
        "out": str(report.out),
        "figures": [[f.name, f.title, f.caption, [str(path) for path in f.files], f.skipped] for f in report.figures],
        "tables": [[t.name, t.title, t.caption, [str(path) for path in t.files]] for t in report.tables],
    }


def _read(words: dict[str, list[list[object]]]) -> Report:
    def paths(files: object) -> tuple[Path, ...]:
        assert isinstance(files, list)
        return tuple(map(Path, files))

    out = Path(str(words["out"]))
    return Report(
        out,
        out / "index.html",
        tuple(
            RenderedFigure(str(name), str(title), str(caption), paths(files), None if skipped is None else str(skipped))
            for name, title, caption, files, skipped in words["figures"]
        ),
        tuple(
            RenderedTable(str(name), str(title), str(caption), paths(files), pl.DataFrame())
            for name, title, caption, files in words["tables"]
        ),
    )


class Making(Protocol):
    """What makes a database at a path, the same for the same seed."""

    def __call__(self, path: Path, seed: int = 0) -> Database: ...


class MadeOnce(Making, Protocol):
    """Such a function that copies what it has made; ``__wrapped__`` makes it again."""

    __wrapped__: Making


def made_once(make: Making) -> MadeOnce:
    """Let what is asked for again be a copy of the first file."""
    made: dict[int, bytes] = {}

    @wraps(make)
    def copied(path: Path, seed: int = 0) -> Database:
        if seed in made:
            path.write_bytes(made[seed])
            return Database(path)
        database = make(path, seed)
        made[seed] = path.read_bytes()
        return database

    return copied


def neuron_frame(scores: np.ndarray, n_skipped: int) -> pl.DataFrame:
    """Layer, neuron, score and rank (1 = highest, null in skipped layers) of an array of scores."""
    layers, neurons = np.indices(scores.shape)
    frame = pl.DataFrame({"layer": layers.ravel(), "neuron": neurons.ravel(), "score": scores.ravel()})
    ranked = frame.filter(pl.col("layer") < scores.shape[0] - n_skipped)
    ranked = ranked.sort("score", "layer", "neuron", descending=[True, False, False]).with_row_index("rank", 1)
    return frame.join(ranked.select("layer", "neuron", "rank"), on=["layer", "neuron"], how="left").with_columns(
        pl.col("rank").cast(pl.Int32)
    )
