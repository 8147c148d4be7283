"""Files that are little on disk and much once they are unpacked: one line that names the limit in bytes."""

import gzip
import io
import lzma
import runpy
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from snql.prompts.sizes import MOST_BYTES

from ..cli.conftest import Snql, snql  # noqa: F401 - a fixture

LIMIT = 100_000
ZEROS = np.zeros((4, LIMIT // 16))
TEXT = b"prompt\n" + b"a" * LIMIT


def _torch(file: Path) -> None:
    """As torch saves it, and packed, which torch reads as well."""
    import torch

    torch.save(torch.from_numpy(ZEROS), file)
    with zipfile.ZipFile(io.BytesIO(file.read_bytes())) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, part in parts.items():
            archive.writestr(name, part)


def _parquet(file: Path) -> None:
    n_rows = LIMIT // 8
    columns = {"layer": np.zeros(n_rows, np.int64), "neuron": np.arange(n_rows), "prompt": ["a" * 20] * n_rows}
    pl.DataFrame(columns).write_parquet(file)


BOMBS: dict[str, Callable[[Path], object]] = {
    "s.npz": lambda file: np.savez_compressed(file, scores=ZEROS),
    "s.pt": _torch,
    "s.parquet": _parquet,
    "s.csv": lambda file: file.write_bytes(gzip.compress(TEXT)),
    "p.txt.gz": lambda file: file.write_bytes(gzip.compress(TEXT)),
    "p.csv.xz": lambda file: file.write_bytes(lzma.compress(TEXT)),
    "p.jsonl.gz": lambda file: file.write_bytes(gzip.compress(b'{"prompt": "' + TEXT + b'"}')),
    "p.parquet": _parquet,
}


@pytest.mark.parametrize("name", BOMBS)
def test_what_holds_too_much_is_one_line(
    snql: Snql,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
) -> None:
    BOMBS[name](tmp_path / name)
    monkeypatch.setenv(MOST_BYTES, str(LIMIT))
    assert (tmp_path / name).stat().st_size < LIMIT
    done = snql(*(["db", "import-scores", name, "x"] if name[0] == "s" else ["prompts", name]))
    assert done.code == 2 and done.err.count("\n") == 1 and done.err.startswith("snql: "), done.err
    said = "it is compressed: unpack it" if name == "s.csv" else f"more than {LIMIT:,} bytes"
    assert said in done.err and not (tmp_path / "snql.duckdb").exists()


def test_what_holds_as_much_as_it_may_is_read(snql: Snql, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: F811
    monkeypatch.setenv(MOST_BYTES, str(20 * LIMIT))
    for name in ("s.npz", "s.pt"):
        BOMBS[name](tmp_path / name)
        assert snql("db", "import-scores", name, name.replace(".", "-")).code == 0


@pytest.mark.parametrize(
    ("report", "code", "words"),
    [
        ("", 0, "were not audited: the list of known weaknesses cannot be reached"),
        ('{"dependencies": [{"name": "a", "skip_reason": "unknown"}]}', 0, "0 of 1 packages audited"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": []}]}', 0, "1 of 1 packages audited, 0 known"),
        ('{"dependencies": [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}]}', 1, "a 1: CVE-1"),
    ],
)
def test_what_could_not_be_audited_is_said(report: str, code: int, words: str) -> None:
    lines, found = runpy.run_path(str(Path(__file__).parents[2] / ".ci" / "audit.py"))["said"](report)
    assert found == code and words in "\n".join(lines)
