"""Break the core in one place at a time, and see whether a test of its room fails.

    .venv/bin/python .ci/mutate.py --n 120 --seed 0 --log mutants.jsonl

Draws places at random (seeded) from contrast, patching, stats, models/mixed, judges, guard and the SQL macros, of each
in proportion: comparisons, arithmetic, and/or, not, numbers. Each is tried in a copy of the tree, as it is when this
begins, with those tests of its room that run the place, the fastest first, until one fails or their time is over; then
with all tests of the files that name its module, long ones too, but for those that kill processes. Prints what no test
noticed, and the share that was noticed. A log is continued; its lines may be given a reason (``"same": "…"``) for a
change that makes no difference to anyone.
"""

import argparse
import ast
import hashlib
import json
import math
import os
import pickle
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from reached import Line, Only, Reach, Recorder

ROOT = Path(__file__).resolve().parents[1]
OPTIONS = "tests/test_bounds.py tests/cli/test_parameters.py"
"""What options may be, and what they are by default."""
ROOMS = {
    "snql/contrast": f"tests/contrast tests/test_oracle.py {OPTIONS}",
    "snql/patching": f"tests/patching {OPTIONS}",
    "snql/stats": "tests/stats tests/rankings tests/judges tests/guard tests/patching/test_graded.py",
    "snql/models/mixed.py": "tests/models/test_mixed.py tests/patching",
    "snql/judges": f"tests/judges {OPTIONS}",
    "snql/guard": f"tests/guard {OPTIONS}",
    "schema/macros": "tests/stats tests/rankings tests/guard tests/reporting/test_patch_figures.py",
}
LEAST = 5
"""So many mutants of each room at least."""

SECONDS = 25.0
MOST_SECONDS = 400.0
"""How long the fast tests of one mutant may take as they are, and all of them with it, of the processor."""

LONGEST = 2
"""Tests that take more seconds are left out."""

LIBRARIES = ("numpy", "torch", "transformers.models.llama.modeling_llama", "peft", "duckdb", "polars", "scipy.stats")
"""Imported once, before the processes in which each mutant is tried."""

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
    lines: tuple[int, int] = (0, 0)
    """The first and last line of the statement that it is in; of a compound one, of its head."""

    @property
    def key(self) -> tuple[str, int, str, str]:
        return self.path, self.start, self.new, self.source


class _Places(ast.NodeVisitor):
    """Finds what can be changed in functions; leaves out annotations, texts of errors, and what is in an f-string."""

    def __init__(self, path: str, source: bytes) -> None:
        self.path, self.source, self.found = path, source, list[Mutant]()
        self.lines = [0]
        self.within = (0, 0)
        for line in source.splitlines(keepends=True):
            self.lines.append(self.lines[-1] + len(line))

    def visit(self, node: ast.AST) -> None:
        outer = self.within
        if isinstance(node, ast.stmt) or self.within == (0, 0):
            first = getattr(node, "lineno", 0)
            body = getattr(node, "body", None)
            last = max(first, body[0].lineno - 1) if isinstance(body, list) and body else getattr(node, "end_lineno", 0)
            self.within = first, last
        super().visit(node)
        self.within = outer

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for statement in node.body:
            self.visit(statement)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg != "strict":  # of zip: it checks what is so already
            self.visit(node.value)

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
            Mutant(self.path, line, start, end, self.source[start:end].decode(), new, _sha256(self.source), self.within)
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
    compiled = ["-m", "compileall", "-q", "--invalidation-mode", "checked-hash", "snql", "cli"]
    subprocess.run([sys.executable, *compiled], cwd=tree, check=True)
    return tree


def slow_tests(report: Path | None) -> list[str]:
    """Tests that took more than LONGEST seconds, by a report in JUnit's XML (``pytest --junitxml``)."""
    cases = [] if report is None else ElementTree.parse(report).iter("testcase")
    return [
        f"{case.get('classname', '').replace('.', '/')}.py::{case.get('name')}"
        for case in cases
        if float(case.get("time", 0)) > LONGEST
    ]


def run_tests(tree: Path, tests: Sequence[str], plugin: object | None, *more: str) -> int:
    """Run tests of the copy in this process, which must be a new one; returns pytest's exit code."""
    os.chdir(tree)
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode = True
    os.environ |= {"PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    pytest: Any = import_module("pytest")
    options = ["-q", "-n0", "-p", "no:cacheprovider", "--ignore-glob=*test_kills.py", "--rootdir", str(tree), *more]
    return int(pytest.main([*options, *tests], plugins=[] if plugin is None else [plugin]))


def in_a_fork(work: Callable[[], int], seconds: float, output: Path | None = None) -> int:
    """The exit code of a process that does some work, negative where it was ended.

    seconds: how long it may take of the processor; and ten times as long by the clock, which others share.
    """
    if (pid := os.fork()) == 0:
        os.setpgid(0, 0)
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds)))
        signal.alarm(math.ceil(10 * seconds))
        sink = os.open(output or os.devnull, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(sink, 1)
        os.dup2(sink, 2)
        code = 99
        try:
            code = work()
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def reach(tree: Path, rooms: Sequence[str], slow: Sequence[str], stored: Path) -> Reach:
    """What the tests of some rooms run of them, but for those known to be slow. Those that fail are left out."""
    given = dict.fromkeys(name for room in rooms for name in ROOMS[room].split())
    roots = [tree / room for room in rooms]
    files = [str(path) for root in roots for path in (root.rglob("*.py") if root.is_dir() else [root])]

    def work() -> int:
        recorder = Recorder(files, LONGEST)
        recorder.start()
        tests = [name for name in given if (tree / name).exists()]
        code = run_tests(tree, tests, recorder, *(f"--deselect={name}" for name in slow))
        stored.write_bytes(pickle.dumps(recorder.reach))
        return code

    output = stored.with_suffix(".txt")
    if in_a_fork(work, 3600, output) not in (0, 1):
        sys.exit(f"the tests do not run:\n{output.read_text()[-5000:]}")
    found: Reach = pickle.loads(stored.read_bytes())
    print(f"{len(found.tests)} tests, {sum(found.seconds.values()):.0f} s", flush=True)
    return found


def fast_tests(tree: Path, room: str, mutant: Mutant, found: Reach) -> list[str]:
    """Tests that run the place, as many as there is time for."""
    path = tree / mutant.path
    lines: list[Line] = [(str(path), line) for line in range(mutant.lines[0], mutant.lines[1] + 1)]
    tests, taken = [], 0.0
    for name in found.of(lines if path.suffix == ".py" else (), tuple(ROOMS[room].split())):
        tests.append(name)
        if (taken := taken + found.seconds[name]) > SECONDS:
            break
    return tests


def naming_files(tree: Path, room: str, mutant: Mutant) -> list[str]:
    """The files of tests that import its module, or are called after it; all of the room if there are none."""
    module = Path(mutant.path).with_suffix("")
    names = (module.as_posix().replace("/", "."), f"import {module.stem}", f"test_{module.stem}.py")
    places = [tree / name for name in ROOMS[room].split()]
    files = [file for place in places for file in (sorted(place.rglob("test_*.py")) if place.is_dir() else [place])]
    found = [file for file in files if any(name in f"{file.read_text()} {file.name}" for name in names)]
    return [str(file.relative_to(tree)) for file in found or files]


def noticed(tree: Path, room: str, mutant: Mutant, found: Reach) -> bool:
    """Whether a test fails, or they do not end, with one place changed."""
    path = tree / mutant.path
    source = path.read_bytes()
    fast = fast_tests(tree, room, mutant, found)
    files = sorted({name.partition("::")[0] for name in fast})
    path.write_bytes(source[: mutant.start] + mutant.new.encode() + source[mutant.end :])
    try:
        if fast and in_a_fork(lambda: run_tests(tree, files, Only(fast), "-x"), 4 * SECONDS) != 0:
            return True
        return in_a_fork(lambda: run_tests(tree, naming_files(tree, room, mutant), None, "-x"), MOST_SECONDS) != 0
    finally:
        path.write_bytes(source)


def sample(rooms: Sequence[str], n: int, seed: int) -> list[tuple[str, Mutant]]:
    """So many places, of each room in proportion to its own."""
    found = {room: list(mutants(room)) for room in rooms}
    total = sum(map(len, found.values()))
    chosen = random.Random(seed)
    return [
        (room, mutant)
        for room, places in found.items()
        for mutant in chosen.sample(places, min(len(places), max(LEAST, round(n * len(places) / total))))
    ]


def report(chosen: Sequence[tuple[str, Mutant]], known: Mapping[tuple[str, int, str, str], dict[str, Any]]) -> None:
    """What was noticed, by room and in all, without what makes no difference."""
    wilson_interval = import_module("snql.stats.proportions").wilson_interval
    for room in [*dict.fromkeys(room for room, _ in chosen), ""]:
        of = [known[mutant.key] for name, mutant in chosen if room in ("", name)]
        real = [each for each in of if "same" not in each]
        n_noticed = sum(each["noticed"] for each in real)
        share = wilson_interval(n_noticed / len(real), len(real))
        shown = f"{share.value:.1%} [{share.low:.1%}, {share.high:.1%}]"
        same = f"; {len(of) - len(real)} make no difference" if len(real) < len(of) else ""
        print(f"{room or 'in all'}: {n_noticed} of {len(real)} noticed, {shown}{same}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=120)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS))
    parser.add_argument(
        "--times", type=Path, help="report of the tests (--junitxml): those known to be slow are not run"
    )
    parser.add_argument("--log", type=Path, default=Path("mutants.jsonl"))
    given = parser.parse_args()
    chosen = sample(given.rooms, given.n, given.seed)
    lines = given.log.read_text().splitlines() if given.log.exists() else []
    known = {(each["path"], each["start"], each["new"], each["source"]): each for each in map(json.loads, lines)}
    for name in LIBRARIES:
        import_module(name)
    with tempfile.TemporaryDirectory() as folder, given.log.open("a") as log:
        tree = copied(Path(folder))
        left = [each for each in chosen if each[1].key not in known]
        random.Random(given.seed).shuffle(left)  # what is done when time is over is of all rooms
        rooms = list(dict.fromkeys(room for room, _ in left))
        found = reach(tree, rooms, slow_tests(given.times), Path(folder) / "reach") if left else Reach()
        for room, mutant in left:
            known[mutant.key] = asdict(mutant) | {"noticed": noticed(tree, room, mutant, found)}
            print(json.dumps(known[mutant.key]), file=log, flush=True)
    for _, mutant in chosen:
        if not known[mutant.key]["noticed"] and "same" not in known[mutant.key]:
            print(f"survived: {mutant.path}:{mutant.line}: {mutant.old!r} -> {mutant.new!r}")
    report(chosen, known)


if __name__ == "__main__":
    main()
