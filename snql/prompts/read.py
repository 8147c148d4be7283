"""Reading prompt sets from files: JSONL, JSON, CSV, TSV, Parquet and plain text, also gzipped."""

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from snql.errors import InputError
from snql.organism import catalog
from snql.prompts.types import RawPrompt

DEMO_PREFIX = "demo:"
COLUMNS = ("prompt", "goal", "Behavior", "question", "instruction", "chosen")
"""Columns recognised when --prompt-column is not given, in this order."""

_LAST_TURN = "\n\nAssistant:"
Row = dict[str, Any]


def read_prompts(sources: Sequence[str], column: str | None = None, limit: int | None = None) -> list[RawPrompt]:
    """Read one or several prompt sets, each cut to its first ``limit`` prompts; duplicates within a set are dropped.

    Raises InputError for a missing or unreadable file, a missing column, or a set without prompts.
    """
    if limit is not None and limit < 1:
        raise InputError(f"--limit {limit}: at least one prompt is needed")
    sets = [_read_set(source, column, limit) for source in sources]
    names = [prompts[0].dataset for prompts in sets]
    if len(set(names)) != len(names):
        raise InputError(f"two prompt sets are both named {max(names, key=names.count)!r}: rename one of the files")
    return [prompt for prompts in sets for prompt in prompts]


def _read_set(source: str, column: str | None, limit: int | None) -> list[RawPrompt]:
    path, dataset = _locate(source)
    distinct: dict[str, RawPrompt] = {}
    for row in _rows(path, source):
        text = _text(row, column, source)
        if text.strip() and text not in distinct:
            distinct[text] = RawPrompt(dataset, text, _label(row, "category"), _label(row, "label"))
            if limit is not None and len(distinct) == limit:
                break
    if not distinct:
        raise InputError(f"prompt file {source} holds no prompts: it is empty or its prompt column is")
    return list(distinct.values())


def _locate(source: str) -> tuple[Path, str]:
    if source.startswith(DEMO_PREFIX):
        try:
            return catalog.prompt_path(source.removeprefix(DEMO_PREFIX)), source
        except KeyError as error:
            known = ", ".join(DEMO_PREFIX + name for name in catalog.prompt_names())
            raise InputError(f"no bundled prompt set {source!r}: the bundled sets are {known}") from error
    path = Path(source)
    if not path.is_file():
        raise InputError(f"no prompt file {source}: check the path, or name a bundled set such as demo:harmful")
    return path, path.name


def _rows(path: Path, source: str) -> Iterable[Row]:
    name = path.name.removesuffix(".gz")
    suffix = Path(name).suffix.lower()
    readers: dict[str, Callable[[bytes], Iterable[Row]]] = {
        ".jsonl": _jsonl,
        ".json": _json,
        ".csv": lambda data: csv.DictReader(_stream(data)),
        ".tsv": lambda data: csv.DictReader(_stream(data), delimiter="\t"),
        ".parquet": lambda data: pl.read_parquet(io.BytesIO(data)).iter_rows(named=True),
        ".txt": lambda data: ({"prompt": line} for line in data.decode("utf-8-sig").splitlines()),
    }
    if suffix not in readers:
        raise InputError(f"prompt file {source} has an unknown type: use {', '.join(readers)}, or one of them with .gz")
    try:
        data = path.read_bytes()
        return list(readers[suffix](gzip.decompress(data) if path.name.endswith(".gz") else data))
    except UnicodeDecodeError as error:
        raise InputError(f"prompt file {source} is not UTF-8 text (byte {error.start}): convert it first") from error
    except (OSError, EOFError, ValueError, csv.Error, pl.exceptions.PolarsError) as error:
        raise InputError(f"prompt file {source} cannot be read as {suffix}: {' '.join(str(error).split())}") from error


def _stream(data: bytes) -> io.StringIO:
    return io.StringIO(data.decode("utf-8-sig"), newline="")


def _jsonl(data: bytes) -> list[Row]:
    rows = []
    for number, line in enumerate(data.decode("utf-8-sig").splitlines(), start=1):
        if line.strip():
            row = json.loads(line)
            if not isinstance(row, dict):
                raise ValueError(f"line {number} is not an object")
            rows.append(row)
    return rows


def _json(data: bytes) -> list[Row]:
    rows = json.loads(data)
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError("it should hold a list of objects")
    return rows


def _text(row: Row, column: str | None, source: str) -> str:
    name = column or next((known for known in COLUMNS if known in row), None)
    if name is None or name not in row:
        wanted = f"column {column!r}" if column else "known prompt column"
        raise InputError(
            f"prompt file {source} has no {wanted}: its columns are {', '.join(map(str, row))}; use --prompt-column"
        )
    value = row[name]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"prompt file {source}: column {name!r} holds a {type(value).__name__}, not text")
    if name == "chosen" and column is None:
        return _dialogue_prompt(value)
    return value


def _dialogue_prompt(dialogue: str) -> str:
    """The text of an HH-RLHF dialogue up to its last assistant turn; a single human turn loses its marker."""
    prompt = dialogue.rpartition(_LAST_TURN)[0].strip()
    first = prompt.removeprefix("Human:")
    return first.strip() if _LAST_TURN not in first else prompt


def _label(row: Row, name: str) -> str | None:
    value = row.get(name)
    return None if value is None else str(value)
