"""Reading prompt sets: bundled ones, files and data sets of the hub, each with counts of what was left out."""

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from snql.errors import InputError
from snql.organism import bundled
from snql.progress import ProgressCallback, counted, silent
from snql.prompts import hub
from snql.prompts.columns import Columns
from snql.prompts.files import is_untyped, read_rows
from snql.prompts.options import PromptOptions
from snql.prompts.select import Limits, SetCounts, select
from snql.prompts.types import RawPrompt
from snql.prompts.where import where

DEMO_PREFIX = "demo:"


@dataclass(frozen=True)
class PromptSets:
    """The prompts of all sets in order, what became of each set's rows, and what a reader must know of them."""

    prompts: list[RawPrompt]
    counts: list[SetCounts]
    notes: tuple[str, ...] = ()


def read_prompt_sets(
    options: PromptOptions,
    *,
    seed: int = 0,
    excluded: Collection[str] = (),
    progress: ProgressCallback = silent,
) -> PromptSets:
    """Read the prompt sets of the options: --where, then duplicates, ``excluded``, --sample, --limit, set by set.

    excluded: SHA-256 of prompt texts to leave out. Raises InputError for a missing or unreadable file, a missing
    column, or a set of which no prompt is left.
    """
    if not options.prompts:
        raise InputError("which prompts? give `prompts`, such as `prompts` demo:harmful")
    sources = [locate_source(source) for source in options.prompts]
    names = [dataset for _, dataset in sources]
    if len(set(names)) != len(names):
        raise InputError(f"two prompt sets are both named {max(names, key=names.count)!r}: rename one of the files")
    limits = Limits(options.sample, seed, options.limit)
    prompts: list[RawPrompt] = []
    counts = []
    notes: list[str] = []
    for source, (paths, dataset) in zip(options.prompts, sources, strict=True):
        rows = [row for path in paths for row in read_rows(path, source)]
        chosen = rows
        if options.where is not None:
            chosen = where(rows, options.where, source, untyped=all(map(is_untyped, paths)))
        columns = Columns(dataset, source, options.prompt_column)
        found = [columns.prompt(row) for row in counted(chosen, progress, f"read {dataset}", "rows")]
        seen = {prompt.sha256 for prompt in prompts}
        kept, of_set = select(dataset, len(rows), found, seen, excluded, limits)
        prompts += kept
        counts.append(of_set)
        notes += columns.notes
    return PromptSets(prompts, counts, tuple(notes))


def is_source(source: str) -> bool:
    """Whether it names a bundled set, a data set of the hub, or a file that is there."""
    return source.startswith((DEMO_PREFIX, hub.PREFIX)) or Path(source).is_file()


def locate_source(source: str) -> tuple[list[Path], str]:
    """The files of a source, and its name as a data set."""
    if source.startswith(DEMO_PREFIX):
        return [_bundled(source)], source
    if source.startswith(hub.PREFIX):
        return hub.data_files(source), source
    path = Path(source)
    if not path.is_file():
        raise InputError(
            f"no prompt file {source}: check the path, or name a bundled set such as demo:harmful or a hub data set "
            "such as hub:PKU-Alignment/BeaverTails:330k_test"
        )
    return [path], path.name


def _bundled(source: str) -> Path:
    try:
        return bundled.prompt_path(source.removeprefix(DEMO_PREFIX))
    except KeyError as error:
        known = ", ".join(DEMO_PREFIX + name for name in bundled.prompt_names())
        raise InputError(f"no bundled prompt set {source!r}: the bundled sets are {known}") from error
