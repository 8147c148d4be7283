"""What is installed: every package folder is listed, and nothing but ``snql`` is importable from it."""

import os
import shutil
import site
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FOLDERS = {"cli": "snql.cli", "schema": "snql.schema", "snql": "snql"}


def test_every_package_folder_is_listed() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    found = set()
    for top, name in FOLDERS.items():
        for init in (ROOT / top).rglob("__init__.py"):
            found.add(".".join((name, *init.parent.relative_to(ROOT / top).parts)))
    assert set(project["tool"]["setuptools"]["packages"]) == found - {"snql.organism.factory"}  # not in the wheel


@pytest.mark.parametrize("command", [["-c", "import snql; snql.open('x.duckdb')"], ["-m", "snql", "--version"]])
def test_a_clone_works_from_within(tmp_path: Path, command: list[str]) -> None:
    """There the folder ``snql`` hides what is installed, and lacks the two that lie beside it."""
    for top in FOLDERS:
        shutil.copytree(ROOT / top, tmp_path / top, ignore=shutil.ignore_patterns("bundle", "__pycache__"))
    found = [str(path) for path in map(Path, site.getsitepackages()) if path.is_dir()]
    kept = tmp_path / "site"
    kept.mkdir()
    for path in (entry for folder in found for entry in Path(folder).iterdir()):
        if "editable" not in path.name:  # what an installed wheel has, without the finder of a development install
            (kept / path.name).symlink_to(path)
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(kept)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr


def test_modules_stay_short() -> None:
    for top in (*FOLDERS, "tests"):
        for path in (ROOT / top).rglob("*.py"):
            assert len(path.read_text("utf-8").splitlines()) <= 400, path


@pytest.mark.parametrize("path", sorted((ROOT / "schema").rglob("*.sql")), ids=lambda path: path.stem)
def test_sql_files_begin_with_a_comment(path: Path) -> None:
    """What is in it: tests/db/test_schema_files.py."""
    assert path.read_text("utf-8").startswith("-- ")
    assert path.parent.name in ("migrations", "tables", "views", "macros", "questions", "queries")


def test_verbs_stay_functions_after_their_modules_are_imported() -> None:
    import snql

    for name in ("demo", "locate", "open", "overlap", "patch", "query", "report"):
        assert callable(getattr(snql, name)), name
        assert not (ROOT / "snql" / name).exists()
        assert not (ROOT / "snql" / f"{name}.py").exists()
