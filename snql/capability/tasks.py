"""Tasks of the LM Evaluation Harness: finding them, running one, and its results as rows."""

import json
import logging
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from difflib import get_close_matches
from functools import partialmethod
from io import StringIO
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets.exceptions import DatasetsError
from lm_eval import evaluate
from lm_eval.tasks import TaskManager
from tqdm import tqdm
from yaml import YAMLError

from snql.db.capability import ResultRow, Row, SampleRow
from snql.errors import InputError, RunError

if TYPE_CHECKING:
    from lm_eval.api.model import LM

    from snql.capability.options import LmEvalOptions

_STDERR = "_stderr"
_REFUSALS = (AssertionError, ImportError, KeyError, OSError, ValueError)
"""What the harness and its tasks raise where a task cannot be run: unsafe code, missing packages, images."""

_UNREADABLE = (*_REFUSALS, AttributeError, TypeError, RuntimeError, YAMLError, DatasetsError)
"""What it raises for a definition that is malformed, or whose own code is, and for documents that cannot be had."""

_ABOUT = ("alias", "name", "sample_len", "sample_count")
"""Entries of a task's results that are no metrics."""


@dataclass(frozen=True)
class Tasks:
    """Tasks that there are, by the names that were asked for, and how they are put to a model."""

    manager: TaskManager
    names: tuple[str, ...]
    num_fewshot: int | None
    limit: int | None
    chat_template: bool
    seed: int

    def evaluate(self, make_model: Callable[[], "LM"], name: str, variant: int) -> list[Row]:
        """The rows of one task or group under one model; raises RunError for a task that cannot be run."""
        with _quiet():
            try:
                found = evaluate(
                    make_model(),
                    self._load(name),
                    limit=self.limit,
                    apply_chat_template=self.chat_template,
                    fewshot_as_multiturn=self.chat_template,
                )
            except _REFUSALS as error:
                raise RunError(f"task {name!r} cannot be run: {_line(error)}") from error
        if found is None:
            raise RunError(f"task {name!r}: the harness gave no results")
        return [*_results(found, name, variant), *_samples(found, name, variant)]

    def _load(self, name: str) -> Any:
        """The task or group, with examples drawn anew from the seed, so that all variants get the same ones.

        Its own number of examples stays if it is 0, as the harness has it: its prompt then leaves no room for any.
        """
        random.seed(self.seed)
        np.random.seed(self.seed % 2**32)
        loaded = self.manager.load([name])
        for task in loaded["tasks"].values():
            own = task.get_config("num_fewshot")
            chosen = own if self.num_fewshot is None or own == 0 else self.num_fewshot
            task.set_config(key="num_fewshot", value=chosen or 0)
            task.set_fewshot_seed(seed=self.seed)
        return loaded


def find_tasks(options: "LmEvalOptions") -> Tasks:
    """The tasks that the options name, their documents fetched if need be.

    Raises InputError for one that the harness does not know, or whose definition or documents cannot be read.
    """
    folder = options.include_path
    if folder is not None and not Path(folder).is_dir():
        raise InputError(f"`include_path` {folder} is no folder: name one with task definitions")
    names = tuple(dict.fromkeys(options.tasks))
    with _quiet():
        manager = TaskManager(include_path=folder)
        known = set(manager.all_tasks)
        for name in names:
            if name not in known:
                raise _unknown(name, known)
            try:
                manager.load([name])
            except _UNREADABLE as error:
                raise InputError(
                    f"task {name!r} cannot be read ({_line(error)}): check its definition, and the network if its "
                    "documents are on the hub"
                ) from error
    seed = options.subject.seed
    return Tasks(manager, names, options.num_fewshot, options.limit, options.chat_template, seed)


def _unknown(name: str, known: set[str]) -> InputError:
    near = get_close_matches(name, sorted(known), 3)
    hint = f"did you mean {' or '.join(near)}?" if near else "name one that it has, or a folder with `include_path`"
    return InputError(f"the harness has no task {name!r}: {hint}")


def _results(found: dict[str, Any], requested: str, variant: int) -> Iterator[ResultRow]:
    """One row per task, or group, and metric: the harness writes metric,filter and metric_stderr,filter."""
    for task, entries in found["results"].items():
        counts = found.get("n-samples", {}).get(task, {})
        for key, value in entries.items():
            metric, comma, chosen = key.partition(",")
            if not comma or metric.endswith(_STDERR) or metric in _ABOUT:
                continue
            yield ResultRow(
                variant,
                requested,
                task,
                metric,
                chosen,
                _number(value),
                _number(entries.get(f"{metric}{_STDERR},{chosen}")),
                counts.get("effective"),
                _whole(found.get("n-shot", {}).get(task)),
                _text(found.get("versions", {}).get(task)),
                found.get("higher_is_better", {}).get(task, {}).get(metric),
            )


def _samples(found: dict[str, Any], requested: str, variant: int) -> Iterator[SampleRow]:
    for task, samples in found.get("samples", {}).items():
        for sample in samples:
            for metric in sample["metrics"]:
                yield SampleRow(
                    variant,
                    requested,
                    task,
                    sample["doc_id"],
                    sample["filter"],
                    metric,
                    _number(sample[metric]),
                    _text(sample["target"]) or "",
                    _text(_single(sample["filtered_resps"])) or "",
                )


def _single(values: list[Any]) -> Any:
    """What a filter left of an answer; of several requests, all."""
    return values[0] if len(values) == 1 else values


def _text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value, ensure_ascii=False, default=str)


def _number(value: Any) -> float | None:
    """A number, or None for N/A, pairs and what is not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if isfinite(number) else None


def _whole(value: Any) -> int | None:
    return int(value) if isinstance(value, int) else None


def _line(error: BaseException) -> str:
    text = " ".join(str(error).split())[:200]
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep what the harness and its libraries print, log and show as bars off the terminal.

    No argument of the harness turns its bars off. TQDM_DISABLE is read where tqdm is imported, which is long past, and
    without a standard error our own progress would be gone as well. So bars are made as disabled ones meanwhile.
    """
    import datasets

    shown, level, began = datasets.is_progress_bar_enabled(), logging.root.manager.disable, tqdm.__init__
    datasets.disable_progress_bar()
    logging.disable(logging.ERROR)
    tqdm.__init__ = partialmethod(began, disable=True)
    try:
        with warnings.catch_warnings(), redirect_stdout(StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        tqdm.__init__ = began
        logging.disable(level)
        if shown:
            datasets.enable_progress_bar()
