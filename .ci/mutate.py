"""Break the core in one place at a time, and see whether a test of its room fails.

    .venv/bin/python .ci/mutate.py --n 100 --seed 0 --log mutants.jsonl

Draws places at random (seeded) from contrast, patching, stats, models/mixed, judges, guard and the SQL macros:
comparisons, arithmetic, and/or, not, numbers. Each is tried in a copy of the tree with the tests of its room, until the
first that fails or the time limit. Prints those that no test noticed, and the share that was. A log is continued.
"""

import argparse
import ast
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ROOMS = {
    "snql/contrast": "tests/contrast tests/test_oracle.py",
    "snql/patching": "tests/patching",
    "snql/stats": "tests/stats tests/rankings tests/judges tests/capability",
    "snql/models/mixed.py": "tests/models/test_mixed.py tests/patching",
    "snql/judges": "tests/judges",
    "snql/guard": "tests/guard",
    "schema/macros": "tests/stats tests/querying tests/rankings tests/guard tests/reporting/test_patch_figures.py",
}
SECONDS = 600
SWAPS: dict[type, str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
    ast.Add: "-",
    ast.Sub: "+",
    ast.Mult: "/",
    ast.Div: "*",
    ast.FloorDiv: "*",
    ast.And: "or",
    ast.Or: "and",
}
IN_SQL = {"<=": "<", ">=": ">", " < ": " <= ", " > ": " >= ", " + ": " - ", " - ": " + ", " AND ": " OR "}


@dataclass(frozen=True)
class Mutant:
    """Bytes ``start`` to ``end`` of a file that become ``new``."""

    path: str
    line: int
    start: int
    end: int
    old: str
    new: str
    source: str
    """The SHA-256 of the file: what was found of an earlier version says nothing of this one."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.path, self.start, self.new, self.source


class _Places(ast.NodeVisitor):
    """Finds what can be changed in functions; leaves out annotations, texts of errors, and what is in an f-string."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source, self.found = path, source, list[Mutant]()
        self.lines = [0]
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Raise(self, node: ast.Raise) -> None: ...

    def visit_JoinedStr(self, node: ast.JoinedStr) -> None: ...

    def visit_Compare(self, node: ast.Compare) -> None:
        self._between(node.left, node.comparators[0], SWAPS.get(type(node.ops[0])))
        self.generic_visit(node)

    def visit_BinOp(self, node: ast.BinOp) -> None:
        self._between(node.left, node.right, SWAPS.get(type(node.op)))
        self.generic_visit(node)

    def visit_BoolOp(self, node: ast.BoolOp) -> None:
        self._between(node.values[0], node.values[1], SWAPS[type(node.op)])
        self.generic_visit(node)

    def visit_UnaryOp(self, node: ast.UnaryOp) -> None:
        if isinstance(node.op, ast.Not):
            self._replace(self._start(node), self._start(node) + len("not "), "")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, bool):
            self._replace(self._start(node), self._end(node), str(not node.value))
        elif isinstance(node.value, int):
            self._replace(self._start(node), self._end(node), str(node.value + 1))

    def _between(self, left: ast.expr, right: ast.expr, new: str | None) -> None:
        """Replace the operator between two operands; brackets around these stay."""
        start, end = self._end(left), self._start(right)
        operator = re.search(rb"[^\s()]+(?:\s+(?:not|in)\b)?", self.source[start:end])
        if new is not None and operator is not None and b"#" not in self.source[start:end]:
            self._replace(start + operator.start(), start + operator.end(), new)

    def _replace(self, start: int, end: int, new: str) -> None:
        line = sum(first <= start for first in self.lines)
        self.found.append(
            Mutant(self.path, line, start, end, self.source[start:end].decode(), new, _sha256(self.source))
        )

    def _start(self, node: ast.expr) -> int:
        return self.lines[node.lineno - 1] + node.col_offset

    def _end(self, node: ast.expr) -> int:
        return self.lines[(node.end_lineno or 1) - 1] + (node.end_col_offset or 0)


def _sha256(source: bytes) -> str:
    return hashlib.sha256(source).hexdigest()


def mutants(room: str) -> Iterator[Mutant]:
    """All places of a room."""
    root = ROOT / room
    for path in sorted(root.rglob("*.*")) if root.is_dir() else [root]:
        source, name = path.read_bytes(), str(path.relative_to(ROOT))
        if path.suffix == ".py":
            places = _Places(name, source)
            places.visit(ast.parse(source))
            yield from places.found
        elif path.suffix == ".sql":
            yield from _in_sql(name, source)


def _in_sql(name: str, source: bytes) -> Iterator[Mutant]:
    first = 0
    for number, line in enumerate(source.splitlines(keepends=True), 1):
        for old, new in IN_SQL.items() if not line.startswith(b"--") else ():
            if (place := line.find(old.encode())) >= 0:
                yield Mutant(name, number, first + place, first + place + len(old), old, new, _sha256(source))
        first += len(line)


def copied(folder: Path) -> Path:
    """The tracked files of the tree, laid out so that this copy is what is imported."""
    tree = folder / "tree"
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in filter(None, names.split("\0")):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, tree / name)
    for package in ("cli", "schema"):
        (tree / "snql" / package).symlink_to(tree / package)
    return tree


def fails(tree: Path, tests: str) -> bool:
    """Whether a test of the copy fails, or they do not end."""
    given = [name for name in tests.split() if (tree / name).exists()]
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider", *given]
    environment = os.environ | {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    try:
        return subprocess.run(command, cwd=tree, env=environment, capture_output=True, timeout=SECONDS).returncode != 0
    except subprocess.TimeoutExpired:
        return True


def noticed(tree: Path, mutant: Mutant, tests: str) -> bool:
    """Whether a test fails with one place changed."""
    path = tree / mutant.path
    source = path.read_bytes()
    path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
    try:
        return fails(tree, tests)
    finally:
        path.write_bytes(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS))
    parser.add_argument("--log", type=Path, default=Path("mutants.jsonl"))
    given = parser.parse_args()
    pool = [(room, mutant) for room in given.rooms for mutant in mutants(room)]
    chosen = random.Random(given.seed).sample(pool, min(given.n, len(pool)))
    results = [json.loads(line) for line in given.log.read_text().splitlines()] if given.log.exists() else []
    known = {(each["path"], each["start"], each["new"], each["source"]): each["noticed"] for each in results}
    with tempfile.TemporaryDirectory() as folder, given.log.open("a") as log:
        tree = copied(Path(folder))
        for room in sorted({room for room, _ in chosen}):
            if fails(tree, ROOMS[room]):
                sys.exit(f"the tests of {room} fail as it is: {ROOMS[room]}")
        for room, mutant in chosen:
            if mutant.key not in known:
                known[mutant.key] = noticed(tree, mutant, ROOMS[room])
                print(json.dumps(asdict(mutant) | {"noticed": known[mutant.key]}), file=log, flush=True)
            if not known[mutant.key]:
                print(f"survived: {mutant.path}:{mutant.line}: {mutant.old!r} -> {mutant.new!r}", flush=True)
    n_noticed = sum(known[mutant.key] for _, mutant in chosen)
    print(f"{n_noticed} of {len(chosen)} noticed, drawn from {len(pool)} with seed {given.seed}")


if __name__ == "__main__":
    main()
