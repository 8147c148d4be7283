"""A report that is built once for all test processes."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from filelock import FileLock

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
