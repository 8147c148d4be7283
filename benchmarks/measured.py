"""What the benchmarks share: results with targets, printed as a table and written as JSON; memory of a subprocess."""

import argparse
import gc
import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Result:
    """One measured number. target: such as ``<= 1.15``; None where there is none; met: None with it."""

    name: str
    value: float
    target: str | None = None

    @property
    def met(self) -> bool | None:
        """Whether the value meets the target."""
        if self.target is None:
            return None
        sign, bound = self.target.split()
        return self.value <= float(bound) if sign == "<=" else self.value >= float(bound)


def arguments(description: str | None) -> argparse.Namespace:
    """``--quick``, ``--json FILE``, ``--device`` and what a measuring subprocess is given."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="under a minute: smaller sizes")
    parser.add_argument("--json", type=Path, help="write a list of {name, value, target, met}")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--child", nargs="*", help=argparse.SUPPRESS)
    return parser.parse_args()


def show(results: Sequence[Result], path: Path | None) -> None:
    """Print the results, and write them as JSON if asked."""
    width = max(len(result.name) for result in results)
    for result in results:
        verdict = {None: "", True: "met", False: "MISSED"}[result.met]
        sys.stdout.write(f"{result.name:<{width}}  {result.value:>12,.3f}  {result.target or '':>8}  {verdict}\n")
    if path is not None:
        path.write_text(json.dumps([{**asdict(result), "met": result.met} for result in results], indent=1))


class Peak:
    """The most memory that this process uses from :meth:`begin` on, over what it had then. Linux only."""

    def __init__(self) -> None:
        self._before = 0

    def begin(self) -> None:
        """Forget earlier peaks, such as that of loading a model."""
        gc.collect()
        Path("/proc/self/clear_refs").write_text("5")
        self._before = _status("VmRSS")

    def bytes(self) -> int:
        return _status("VmHWM") - self._before


def _status(key: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return int(value.split()[0]) * 1024
    raise KeyError(key)


def in_child(script: str, given: Sequence[str]) -> float:
    """Run the script again with ``--child``; it prints one number."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, script, "--child", *given], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr)
    return float(done.stdout.splitlines()[-1])
