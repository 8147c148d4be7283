"""A folder with a database of small runs of the bundled models, and files of various kinds, sound and not."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import duckdb
import numpy as np

MODELS = ("--before", "demo:sft", "--after")
SMALL = ("--max-new-tokens", "2", "--prompts")
PATCHED = ("--recipient", "demo:sft", "--donor", "demo:safety", "--judge", "refusal")
BEGUN = (
    ("locate", "located", *MODELS, "demo:safety", *SMALL, "located.txt"),
    ("locate", "other", *MODELS, "demo:helpful", *SMALL, "located.txt"),
    ("patch", "patched", *PATCHED, "--neurons", "located:1%", "--random", "1", *SMALL, "patched.txt"),
    (
        "guard",
        "train",
        "guarded",
        "--model",
        "demo:sft",
        "--neurons",
        "located:1%",
        "--prompts",
        "harm.txt",
        "--benign",
        "benign.txt",
        "--judge",
        "by-set",
        "--plain",
        "--max-new-tokens",
        "1",
    ),
    ("sets", "save", "kept", "located:3"),
)


def prepare(folder: Path, call: Callable[[list[str]], int]) -> None:
    """Fill an empty folder, which is the current one; call: runs a command line and gives its exit code."""
    for name, lines in (
        ("few", 1),
        ("other", 1),
        ("more", 3),
        ("located", 3),
        ("patched", 2),
        ("harm", 6),
        ("benign", 6),
    ):
        (folder / f"{name}.txt").write_text("".join(f"{name} {n}\n" for n in range(lines)), "utf-8")
    (folder / "bytes.bin").write_bytes(bytes(range(256)) * 20)
    np.save(folder / "scores.npy", np.ones((2, 3)))
    (folder / "folder").mkdir()
    (folder / "link").symlink_to("nowhere")
    (folder / "loop").symlink_to("loop")
    for words in BEGUN:
        assert call(["-q", *words]) == 0, words


_ROWS: dict[str, str] = {}
"""What the rows of a database hash to, by what its bytes do."""


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder by name, with what it holds: a database, the rows of its tables.

    A run whose models do not load has had a row, and none is left of it: other bytes, and the same rows.
    """
    return {str(path.relative_to(folder)): _held(path) if path.is_file() else "no file" for path in folder.rglob("*")}


def _held(path: Path) -> str:
    found = sha256(path.read_bytes()).hexdigest()
    if path.suffix != ".duckdb":
        return found
    if found not in _ROWS:
        with duckdb.connect(str(path), read_only=True) as connection:
            tables = connection.execute("SELECT table_name FROM duckdb_tables() ORDER BY 1").fetchall()
            rows = [connection.execute(f'FROM "{name}" ORDER BY ALL').fetchall() for (name,) in tables]
        _ROWS[found] = sha256(repr(rows).encode("utf-8", "surrogatepass")).hexdigest()
    return _ROWS[found]
