"""Reading training data: from files to tables of token ids, with counts of what was left out and of tokens."""

import hashlib
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from transformers import PreTrainedTokenizerBase

from snql.errors import InputError
from snql.organism import bundled
from snql.progress import ProgressCallback, counted, silent
from snql.prompts.files import Row, is_untyped, read_rows
from snql.prompts.options import PromptOptions
from snql.prompts.read import DEMO_PREFIX, locate_source
from snql.prompts.template import Formatter
from snql.prompts.types import Turn
from snql.prompts.where import where
from snql.training.examples import Dialogue, Preference
from snql.training.options import TrainOptions
from snql.training.stages import STAGES, Example, Stage
from snql.training.tokens import IGNORED, Encoder, Labelled, PairIds

_AT_ONCE = 1000
_HELD_OUT = 0.1
_NAMED = 5


@dataclass(frozen=True)
class Counts:
    """What became of the rows: filtered by ``where``, unsampled by ``sample`` and ``limit``, unusable (blank, or the
    same or other prompts in a pair), too_long (nothing to learn within the longest length), trained and held_out.

    reasons: why rows are unusable, with the numbers of the first ones in their file, from 1.
    """

    rows: int
    filtered: int
    unsampled: int
    unusable: int
    too_long: int
    trained: int
    held_out: int
    reasons: tuple[str, ...] = ()

    def summary(self) -> str:
        """In words, such as ``100 rows, 3 unusable, 90 trained on, 7 held out``."""
        steps = {
            "not chosen by `where`": self.filtered,
            "not in the sample": self.unsampled,
            f"unusable ({'; '.join(self.reasons)})": self.unusable,
            "too long": self.too_long,
            "trained on": self.trained,
            "held out": self.held_out,
        }
        return ", ".join([f"{self.rows} rows", *(f"{n} {what}" for what, n in steps.items() if n)])


@dataclass(frozen=True)
class TrainingData:
    """Tables with a row an example, of the columns of :class:`Labelled` or :class:`PairIds`.

    sources: SHA-256 of each file by its name. tokens, answer_tokens: of the examples that are trained on, once;
    longest: tokens of the longest example (of the longer side of a pair).
    """

    train: pa.Table
    held_out: pa.Table
    counts: Counts
    sources: dict[str, str]
    tokens: int
    answer_tokens: int
    longest: int


@dataclass
class _Tally:
    tokens: int = 0
    answer_tokens: int = 0
    longest: int = 0

    def add(self, found: Labelled | PairIds) -> None:
        if isinstance(found, Labelled):
            total, length = len(found.input_ids), len(found.input_ids)
            answers = sum(label != IGNORED for label in found.labels)
        else:
            sides = [len(found.chosen_ids), len(found.rejected_ids)]
            answers, length = sum(sides), len(found.prompt_ids) + max(sides)
            total = 2 * len(found.prompt_ids) + answers
        self.tokens += total
        self.answer_tokens += answers
        self.longest = max(self.longest, length)


def read_data(
    options: TrainOptions, tokenizer: PreTrainedTokenizerBase, max_length: int, progress: ProgressCallback = silent
) -> TrainingData:
    """Read and encode the data of a training, some rows at a time.

    Examples with one prompt are all trained on or all held out. Raises InputError for data of another shape, or if none
    is left.
    """
    rows, sources, n_rows, n_filtered, numbers = _rows(options)
    chosen = _sampled(rows, options)
    stage = STAGES[options.stage]
    found = [(row, source, stage.read(row, source)) for row, source in counted(chosen, progress, "read", "rows")]
    examples = [example for *_, example in found if example is not None]
    encoder = Encoder(Formatter.of(PromptOptions(options.data, template=options.template), tokenizer), max_length)
    held = _held_out(examples, options)
    tally, ignored = _Tally(), _Tally()
    kept = [example for example in examples if _key(example) not in held]
    train = _table(_encoded(counted(kept, progress, "tokenize", "examples"), encoder, tally), stage)
    rest = _table(_encoded([one for one in examples if _key(one) in held], encoder, ignored), stage)
    counts = Counts(
        rows=n_rows,
        filtered=n_filtered,
        unsampled=len(rows) - len(chosen),
        unusable=len(chosen) - len(examples),
        too_long=len(examples) - train.num_rows - rest.num_rows,
        trained=train.num_rows,
        held_out=rest.num_rows,
        reasons=_reasons([(row, source) for row, source, example in found if example is None], numbers, stage),
    )
    if not train.num_rows:
        raise InputError(f"nothing of {', '.join(options.data)} can be trained on: {counts.summary()}")
    longest = max(tally.longest, ignored.longest)
    return TrainingData(train, rest, counts, sources, tally.tokens, tally.answer_tokens, longest)


def _reasons(rows: Sequence[tuple[Row, str]], numbers: Mapping[int, int], stage: Stage) -> tuple[str, ...]:
    """Why rows are unusable, in words, each with the first few that are."""
    places: dict[str, list[int]] = {}
    for row, source in rows:
        places.setdefault(stage.why_unusable(row, source), []).append(numbers[id(row)])
    return tuple(
        f"{reason}: row{'s' if len(found) > 1 else ''} {', '.join(map(str, found[:_NAMED]))}"
        + (", …" if len(found) > _NAMED else "")
        for reason, found in places.items()
    )


def _rows(options: TrainOptions) -> tuple[list[tuple[Row, str]], dict[str, str], int, int, dict[int, int]]:
    """The chosen rows with their sources, hashes of the files, how many rows there were and were filtered, and the
    number of each row in its file by its identity."""
    found: list[tuple[Row, str]] = []
    numbers: dict[int, int] = {}
    hashes: dict[str, str] = {}
    n_rows = 0
    for source in dict.fromkeys(options.data):
        paths = _files(source, STAGES[options.stage])
        rows = [row for path in paths for row in read_rows(path, source)]
        numbers |= {id(row): number for number, row in enumerate(rows, 1)}
        hashes |= {_name(source, path): _sha256(path) for path in paths}
        n_rows += len(rows)
        if options.where is not None:
            rows = where(rows, options.where, source, untyped=all(map(is_untyped, paths)))
        found += [(row, source) for row in rows]
    return found, hashes, n_rows, n_rows - len(found), numbers


def _files(source: str, stage: Stage) -> list[Path]:
    """The files of a source. Raises InputError for bundled data that the stage does not have."""
    if not source.startswith(DEMO_PREFIX):
        return locate_source(source)[0]
    name = source.removeprefix(DEMO_PREFIX)
    if name not in stage.data:
        known = ", ".join(DEMO_PREFIX + name for name in stage.data)
        raise InputError(f"no bundled data {source!r} for {stage.name}: there is {known}")
    return [bundled.training_path(name)]


def _name(source: str, path: Path) -> str:
    if source.startswith(DEMO_PREFIX):
        return source
    return path.name if path.name == Path(source).name else f"{source} {path.name}"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sampled(rows: list[tuple[Row, str]], options: TrainOptions) -> list[tuple[Row, str]]:
    if options.sample is not None and options.sample < len(rows):
        places = sorted(random.Random(options.seed).sample(range(len(rows)), options.sample))  # noqa: S311
        rows = [rows[place] for place in places]
    return rows[: options.limit]


def _key(example: Example) -> str:
    """Identity of the prompt."""
    turns: Sequence[Turn] = example.prompt if isinstance(example, Preference) else example.turns
    first = turns if isinstance(example, Preference) else turns[: 1 + _first_user(turns)]
    return hashlib.sha256(repr([(turn.role, turn.content) for turn in first]).encode()).hexdigest()


def _first_user(turns: Sequence[Turn]) -> int:
    return next(at for at, turn in enumerate(turns) if turn.role == "user")


def _held_out(examples: Sequence[Example], options: TrainOptions) -> set[str]:
    """Prompts that are held out: those with the lowest hashes with the seed, until their examples are enough."""
    wanted = min(options.held_out, int(_HELD_OUT * len(examples)))
    counts: dict[str, int] = {}
    for example in examples:
        key = _key(example)
        counts[key] = counts.get(key, 0) + 1
    held: set[str] = set()
    n_held = 0
    for key in sorted(counts, key=lambda key: hashlib.sha256(f"{options.seed} {key}".encode()).hexdigest()):
        if n_held >= wanted:
            break
        held.add(key)
        n_held += counts[key]
    return held


def _encoded(examples: Iterable[Example], encoder: Encoder, tally: _Tally) -> Iterator[dict[str, Any]]:
    for example in examples:
        found = encoder.dialogue(example) if isinstance(example, Dialogue) else encoder.pair(example)
        if found is not None:
            tally.add(found)
            yield vars(found)


def _table(rows: Iterable[dict[str, Any]], stage: Stage) -> pa.Table:
    """Rows as columns of whole-number lists, four bytes a token."""
    schema = pa.schema([(name, pa.list_(pa.int32())) for name in stage.columns])
    batches, waiting = [], []
    for row in rows:
        waiting.append(row)
        if len(waiting) == _AT_ONCE:
            batches.append(pa.RecordBatch.from_pylist(waiting, schema))
            waiting = []
    batches.append(pa.RecordBatch.from_pylist(waiting, schema))
    return pa.Table.from_batches(batches, schema)
