"""``snql null``: what a contentless adapter would give. The run's adapter is shuffled, and each shuffle located."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from safetensors import SafetensorError

from snql.contrast.locate import locate
from snql.contrast.options import LocateOptions, NullOptions
from snql.db import records, runs
from snql.db.connection import Database
from snql.db.scores import read_shape
from snql.errors import InputError, reason
from snql.models import files
from snql.models.adapter_config import read_config
from snql.models.adapters import Adapter
from snql.models.identity import combined_hash
from snql.models.permuted import write_permuted
from snql.models.spec import ModelSpec, PartSpec, parse_model_spec
from snql.options import build
from snql.progress import ProgressCallback, say, silent
from snql.rankings.overlaps import beside

_APART = 1_000_003
"""Between the draws of one seed and those of the next."""


@dataclass(frozen=True)
class NullResult:
    """What draws of contentless adapters share with the run that they were made of.

    draws: one row a draw: run, k, overlap, chance, chance_by_magnitude, spearman_all; of the top 5%.
    """

    run: str
    source: str
    draws: pl.DataFrame


def null(
    db: Database,
    name: str,
    options: NullOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> NullResult:
    """Shuffle the adapter of the locate run ``from_run`` within each of its modules, ``draws`` times, and locate each
    shuffle with the run's settings, as locate runs ``name.1``, ``name.2`` and so on.

    What the model after has beyond the one before is shuffled. Raises InputError, before anything is written, for an
    unknown run, one whose models are no adapters on one base, or whose adapters' files have changed; ModelError for an
    adapter that has more than IA3 vectors and LoRA updates.
    """
    settings, before, after = _source(db, options.from_run)
    runs.check_name(f"{name}.1")
    if not (resume or force) and runs.find_run(db, "locate", f"{name}.1") is not None:
        raise InputError(f"null {name!r} exists ({name}.1): choose another name, `resume` it, or `force` to replace it")
    own = _adapters(db, options.from_run, after.adapters[len(before.adapters) :])
    folder = options.adapters or db.path.with_name(f"{db.path.stem}-nulls") / name
    if "+" in str(folder):
        raise InputError(f"`adapters` {folder}: a folder with + in its path cannot stand in a model spec; name another")
    for draw in range(1, options.draws + 1):
        say(progress, f"null {draw} of {options.draws}")
        parts = [folder / f"{draw}-{number}" for number in range(1, len(own) + 1)]
        _write(own, parts, options.seed * _APART + draw)
        spec = "+".join([settings.before, *map(str, parts)])
        facts = {"null_of": options.from_run, "draw": draw, "command": _command(name, options, draw)}
        drawn = replace(settings, after=spec, keep="none", bootstrap=0)
        locate(db, f"{name}.{draw}", drawn, resume=resume, force=force, progress=progress, facts=facts)
    return NullResult(name, options.from_run, _draws(db, name, options))


def _source(db: Database, run: str) -> tuple[LocateOptions, ModelSpec, ModelSpec]:
    """A run's settings and models; raises InputError for one of which no null can be made."""
    read_shape(db, run)
    found = runs.find_run(db, "locate", run)
    config = {} if found is None else found.config
    if not {"before", "after"} <= config.keys() or "model" in config or "null_of" in config:
        raise InputError(f"run {run!r} is no contrast of two models: nulls are made of a locate run of two")
    settings = build(LocateOptions, config)
    before, after = parse_model_spec(settings.before), parse_model_spec(settings.after)
    if len(after.adapters) <= len(before.adapters):
        raise InputError(
            f"run {run!r}: {settings.after} has no adapter that {settings.before} has not, and a full checkpoint has "
            "no update of its own to shuffle: nulls need a model after that is an adapter on the one before"
        )
    if (before.base, *before.adapters) != (after.base, *after.adapters[: len(before.adapters)]):
        raise InputError(
            f"run {run!r}: {settings.after} does not build on {settings.before}: nulls need a model after that is the "
            "one before with more adapters (BASE and BASE+A, or BASE+A and BASE+A+B)"
        )
    return settings, before, after


def _adapters(db: Database, run: str, parts: tuple[PartSpec, ...]) -> list[Adapter]:
    """The adapters that are shuffled; raises InputError if one is not what the run has read."""
    stored = records.read_adapter_ids(db, run)
    found = []
    for part in parts:
        given = files.adapter_files(part)
        if (identity := combined_hash(given.hashes)) not in stored:
            raise InputError(f"adapter {part} has other files than when run {run!r} read it: restore them")
        found.append(Adapter(given, read_config(given.place), identity))
    return found


def _write(adapters: Sequence[Adapter], folders: Sequence[Path], seed: int) -> None:
    try:
        for adapter, folder in zip(adapters, folders, strict=True):
            write_permuted(adapter, folder, seed)
    except (OSError, SafetensorError) as error:
        raise InputError(f"cannot write adapters to {folders[0].parent}: {reason(error)}; use `adapters`") from error


def _command(name: str, options: NullOptions, draw: int) -> list[str]:
    """The command that makes a draw; the others do not count, so that more of them may follow with ``resume``."""
    folder = [] if options.adapters is None else ["--adapters", str(options.adapters)]
    seed = [] if options.seed == 0 else ["--seed", str(options.seed)]
    return ["snql", "null", name, "--from", options.from_run, "--draws", str(max(2, draw)), *folder, *seed]


def _draws(db: Database, name: str, options: NullOptions) -> pl.DataFrame:
    found = beside(db, options.from_run, [f"{name}.{draw}" for draw in range(1, options.draws + 1)])
    columns = ("k", "overlap", "chance", "chance_by_magnitude", "spearman_all")
    return found.select(pl.col("run_b").alias("run"), *columns)
