"""The folder of a report: what an earlier report wrote there goes, what anybody else put there stays."""

import glob
import shutil
import tempfile
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from snql.db.outputs import check_folder
from snql.db.owner import is_dead, owner
from snql.errors import InputError

INDEX = "index.html"
LISTING = "report-files.txt"
"""The names of a report's files, a line each, itself among them."""
MADE_OF = "report-made-of.txt"
"""What the maker of a report knows it by."""
_MADE_BY = "Made by <code>snql report</code>"
"""In the page of every report: those of earlier versions have no listing."""


def check_place(out: Path) -> None:
    """Raise InputError if a report cannot be written to ``out``; nothing is made.

    It is a file, its page is of no report, or what is above it takes no files.
    """
    check_folder(out, "a report")
    _check(out, [INDEX])


@contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A temporary folder beside ``out``, on the same disk, gone at the end; those of killed reports go, too.

    Raises InputError if ``out`` is a file, cannot be written, or has a page that no report wrote.
    """
    check_place(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        prefix = f".{out.name}-report."
        for left in out.parent.glob(f"{glob.escape(prefix)}*"):
            if is_dead(left.name.removeprefix(prefix)):
                shutil.rmtree(left, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=f"{prefix}{owner()}.", dir=out.parent))
    except OSError as error:
        raise InputError(f"cannot write beside {out}: {error.strerror or error}; choose another `out`") from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, out: Path) -> None:
    """Move finished files into ``out``, the page that links to them last, and remove those of an earlier report.

    Raises InputError, with nothing changed, if a file is in the way that no report wrote.
    """
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    names = sorted([*names, LISTING], key=lambda name: (name == INDEX, name))
    _check(out, names)
    (folder / LISTING).write_text("\n".join(names) + "\n", "utf-8", newline="\n")
    stale = _listed(out) - set(names)
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).replace(out / name)
    for name in stale:
        (out / name).unlink(missing_ok=True)
    for parent in sorted({parent for name in stale for parent in Path(name).parents if parent.name}, reverse=True):
        if (out / parent).is_dir() and not any((out / parent).iterdir()):
            (out / parent).rmdir()


def _check(out: Path, names: Sequence[str]) -> None:
    """Raise InputError if one of these files is in ``out`` and not of a report."""
    own = _listed(out)
    foreign = [] if _older(out) else [name for name in names if name not in own and (out / name).exists()]
    if foreign:
        raise InputError(
            f"{out / foreign[0]} was not written by a report, and this one would replace it: choose another `out`"
        )


def is_made_of(out: Path, known: Collection[str]) -> bool:
    """Whether the folder has a whole report, made with one of these texts."""
    names = _listed(out)
    if MADE_OF not in names or not all((out / name).is_file() for name in names):
        return False
    return (out / MADE_OF).read_text("utf-8", errors="replace") in known


def _listed(out: Path) -> set[str]:
    """The files of the report that is in the folder, none of them outside it; empty if there is none."""
    try:
        names = (out / LISTING).read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    return {name for name in names if name and not Path(name).is_absolute() and ".." not in Path(name).parts}


def _older(out: Path) -> bool:
    """Whether the folder has a report from before reports listed their files."""
    try:
        return not (out / LISTING).exists() and _MADE_BY in (out / INDEX).read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        return False
