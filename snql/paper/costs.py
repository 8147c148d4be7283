"""What the steps of a plan cost: GPU hours and gigabytes, from a step's options, its scale's sizes and measured rates.

A step is so many floating-point operations and so many bytes of weights read. Reading a text costs 2 operations a
weight and token, and is bound by arithmetic; writing reads all weights for each token of a batch, and is bound by
whichever of the two takes longer. Hours are those of a card's published peaks over the share of the peak that snql
reached where it was measured (``rates.toml`` says where). Attention over what was read, loading and judging by
anything but a score model are not counted; prompts are taken to be answered at full length.
"""

import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl

from snql.errors import InputError
from snql.generation.options import WritingOptions
from snql.options import leaves
from snql.paper.plan import OPTIONS, Plan, Step
from snql.patching.variants import layer_steps, windows
from snql.patching.variants import sizes as sizes_of
from snql.small_files import small_text

_GIGA = 1e9
_STORED = {"bytes_per_value": 1.9, "bytes_per_token": 10}
"""Bytes of an activation in a shard, and of a written token with its text and trace: docs/scale.md."""
_MULTIPLE = 2
"""Rows of a patched variant: the recipient's and the donor's."""

_ANSWER = 256
"""Tokens of an answer to a task, as the harness has it."""

Given = SimpleNamespace
"""The values of a command's options by their names, defaults among them."""


@dataclass(frozen=True)
class Work:
    """operations: of reading and training; written: of writing; steps: passes over all weights while writing (a pass
    a token and batch); passes: bytes of weights of one; stored: bytes kept."""

    operations: float = 0.0
    written: float = 0.0
    weight_bytes: float = 0.0
    stored: float = 0.0

    def __add__(self, other: "Work") -> "Work":
        return Work(
            self.operations + other.operations,
            self.written + other.written,
            self.weight_bytes + other.weight_bytes,
            self.stored + other.stored,
        )


@dataclass(frozen=True)
class Rates:
    """Of one card: peak operations and bytes a second, and the shares of them that are reached."""

    card: str
    operations: float
    bandwidth: float
    reading: float
    writing: float
    training: float
    source: str

    def hours(self, work: Work, *, training: bool) -> float:
        """GPU hours of some work."""
        share = self.training if training else self.reading
        arithmetic = work.operations / (self.operations * share)
        writing = max(
            work.written / (self.operations * self.reading), work.weight_bytes / (self.bandwidth * self.writing)
        )
        return (arithmetic + writing) / 3600


@dataclass(frozen=True)
class Estimate:
    """frame: a row a step (step, gpu_hours, gigabytes, command) and one for all; notes: what was assumed."""

    title: str
    frame: pl.DataFrame
    notes: tuple[str, ...]


def estimate(plan: Plan, card: str, path: Path | None = None) -> Estimate:
    """What each step costs on one card. Raises InputError for an unknown card or a file that holds no rates."""
    rates = read_rates(card, path)
    sizes = _Sizes(plan.scale.workload)
    rows = []
    for step in plan.steps:
        work = _work(step, sizes)
        hours = rates.hours(work, training=step.command in ("train sft", "train dpo"))
        rows.append((step.name, hours, work.stored / _GIGA, step.line))
    schema = {"step": pl.String, "gpu_hours": pl.Float64, "gigabytes": pl.Float64, "command": pl.String}
    frame = pl.DataFrame(rows, schema=schema, orient="row")
    total = frame.select(
        pl.lit("all").alias("step"), pl.col("gpu_hours", "gigabytes").sum(), pl.lit("").alias("command")
    )
    return Estimate(
        f"{len(plan.steps)} steps at scale {plan.scale.name}, on one {rates.card}",
        pl.concat([frame, total]),
        (
            f"Weights and data to fetch: about {sizes.download / _GIGA:,.1f} GB, not counted above.",
            f"Rates: {rates.source}",
            f"Assumed: {sizes.words}. Answers at full length.",
            "No run on a GPU was measured. Measure one short run on yours and put its rates into a file: "
            "`snql paper … --rates FILE`.",
        ),
    )


def read_rates(card: str, path: Path | None) -> Rates:
    """The rates of a card: of the user's file if it has that card, else those that come with snql."""
    shipped = tomllib.loads(files("snql.paper").joinpath("rates.toml").read_text("utf-8"))
    table = shipped | _read(path) if path is not None else shipped
    shares = {**shipped["measured"], **table.get("measured", {})}
    cards = {name: values for name, values in table.items() if name != "measured"}
    if card not in cards:
        raise InputError(f"no rates of a card named {card!r}: choose from {', '.join(cards)}, or add it with `rates`")
    chosen = {**shares, **cards[card]}
    try:
        numbers = {name: float(chosen[name]) for name in ("operations", "bandwidth", "reading", "writing", "training")}
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"the rates of card {card!r} are incomplete: give operations and bandwidth, a second, as numbers"
        ) from error
    if min(numbers.values()) <= 0:
        raise InputError(f"the rates of card {card!r} are not all above 0: correct the file")
    return Rates(card, source=str(chosen.get("source", path)), **numbers)


def _read(path: Path) -> dict[str, Any]:
    text = small_text(path, "`rates`")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"`rates` {path} is not TOML: {error}") from error


class _Sizes:
    """The scale's workload table, with what it leaves out."""

    def __init__(self, table: Mapping[str, Any]) -> None:
        self._table = {**_STORED, "bytes_per_weight": 2, "batch": 32, **table}

    def __getitem__(self, name: str) -> float:
        if name not in self._table:
            raise InputError(f"the scale's [workload] lacks {name!r}, which costs are computed from: add it")
        return float(self._table[name])

    def prompts(self, sets: Sequence[str], given: Given) -> float:
        """Prompts of some sets: a number drawn of each, else each set's own size."""
        most = [float(each) for each in (given.limit, given.sample) if each is not None]
        known = self._table.get("sizes", {})
        return sum(min([float(known.get(name, self["prompts"])), *most]) for name in sets)

    def rows(self, data: str) -> float:
        """Texts of a training set."""
        known = self._table.get("sizes", {})
        if data not in known:
            raise InputError(f"the scale's [workload] has no size of {data!r}: add it to its `sizes`")
        return float(known[data])

    def task(self, name: str) -> tuple[float, float]:
        """Tokens that one model reads and writes for a task."""
        known = self._table.get("tasks", {})
        if name not in known:
            raise InputError(f"the scale's [workload] has no tokens of task {name!r}: add it to its `tasks`")
        reads, writes = known[name]
        return float(reads), float(writes)

    @property
    def weights(self) -> float:
        """Bytes of one model."""
        return self["parameters"] * self["bytes_per_weight"]

    @property
    def download(self) -> float:
        """Bytes of the base model and the judge."""
        return (self["parameters"] + self["judge_parameters"]) * self["bytes_per_weight"]

    @property
    def words(self) -> str:
        """What was assumed."""
        return (
            f"{self['parameters'] / _GIGA:.3g} billion weights of {self['bytes_per_weight']:g} bytes, prompts of "
            f"{self['prompt_tokens']:g} tokens, {self['batch']:g} rows a batch, a judge of "
            f"{self['judge_parameters'] / _GIGA:.3g} billion weights"
        )


def _work(step: Step, sizes: _Sizes) -> Work:
    works: dict[str, Callable[[Given, _Sizes], Work]] = {
        "locate": _locate,
        "patch": _patch,
        "tax": _tax,
        "perplexity": _perplexity,
        "lm-eval": _tasks,
        "lens": _lens,
        "guard train": _guard_train,
        "guard test": _guard_test,
        "compare-scorers": _scorers,
        "train sft": _train_sft,
        "train pairs": _train_pairs,
        "train dpo": _train_dpo,
    }
    if step.command not in works:
        return Work()
    return works[step.command](_given(OPTIONS[step.command][0], step.options), sizes)


def _given(options: type, values: Mapping[str, Any]) -> Given:
    """A step's options as its command has them: what it does not give has its default, or is empty."""
    found = {leaf.name: leaf.value(values[leaf.flag[2:]]) for leaf in leaves(options) if leaf.flag[2:] in values}
    defaults = {leaf.name: () if leaf.required else leaf.default for leaf in leaves(options)}
    return Given(**(defaults | found))


def _writing(rows: float, tokens: float, new: float, sizes: _Sizes) -> Work:
    """``rows`` texts of ``tokens`` tokens are read, and ``new`` tokens written to each, batch by batch."""
    weights = 2 * sizes["parameters"]
    batches = max(1.0, rows / sizes["batch"])
    return Work(weights * rows * tokens, weights * rows * new, batches * new * sizes.weights)


def _reading(rows: float, tokens: float, sizes: _Sizes, parameters: str = "parameters") -> Work:
    return Work(2 * sizes[parameters] * rows * tokens)


def _locate(given: Given, sizes: _Sizes) -> Work:
    n, new = sizes.prompts(given.prompts, given), given.max_new_tokens
    share = float(given.keep.removesuffix("%")) / 100 if given.keep.endswith("%") else 0.0
    return _ranking(n, new, sizes) + _keeping(n, new, share, sizes)


def _ranking(n: float, new: float, sizes: _Sizes) -> Work:
    """One model writes, another reads, and every neuron has a score."""
    tokens = sizes["prompt_tokens"]
    stored = sizes["neurons"] * 56 + n * (tokens + new) * 4
    return _writing(n, tokens, new, sizes) + _reading(n, tokens + new, sizes) + Work(stored=stored)


def _keeping(n: float, new: float, share: float, sizes: _Sizes) -> Work:
    """Both models read again, and values of a share of the neurons are stored."""
    if not share:
        return Work()
    values = 2 * share * sizes["neurons"] * n * new
    return _reading(2 * n, sizes["prompt_tokens"] + new, sizes) + Work(stored=values * sizes["bytes_per_value"])


def _patch(given: Given, sizes: _Sizes) -> Work:
    n_sets = float(len(given.neurons))
    if given.sweep:
        n_sets *= sum(len(sizes_of(item)) for item in given.sweep)
    if given.sweep_layers:
        n_sets *= sum(len(layer_steps(item)) for item in given.sweep_layers)
    if given.window is not None:
        n_sets *= len(windows(given.window, lambda: int(sizes["neurons"])))
    return _patching(n_sets, given.prompts, given, sizes)


def _patching(n_sets: float, prompts: Sequence[str], given: Given, sizes: _Sizes) -> Work:
    """Recipient, donor, sets and controls answer prompts and are judged."""
    n, new, tokens = sizes.prompts(prompts, given), given.max_new_tokens, sizes["prompt_tokens"]
    variants = n_sets * (1 + given.random)
    rows = n * (2 + _MULTIPLE * variants)
    answers = n * (2 + variants)
    judged = _reading(answers * len(given.judges), tokens + new, sizes, "judge_parameters")
    return _writing(rows, tokens, new, sizes) + judged + Work(stored=answers * new * sizes["bytes_per_token"])


def _tax(given: Given, sizes: _Sizes) -> Work:
    direction = _patching(1, given.prompts, given, sizes)
    return direction + direction


def _perplexity(given: Given, sizes: _Sizes) -> Work:
    variants = len(given.neurons) * (1 + given.random)
    return _reading(2 * (2 + _MULTIPLE * variants), sizes["text_tokens"], sizes)


def _tasks(given: Given, sizes: _Sizes) -> Work:
    models, work = 2 + _MULTIPLE * len(given.neurons), Work()
    for task in given.tasks:
        reads, writes = sizes.task(task)
        work += _reading(models, reads, sizes)
        work += _writing(models * writes / _ANSWER, 0, _ANSWER, sizes) if writes else Work()
    return work


def _lens(given: Given, sizes: _Sizes) -> Work:
    n = sizes.prompts((*given.harmful, *given.harmless), given)
    directions = Work(2 * sizes["hidden"] * sizes["vocabulary"] * sizes["neurons"] * 0.05)
    return _reading(n, sizes["prompt_tokens"], sizes) + directions


def _guard_train(given: Given, sizes: _Sizes) -> Work:
    return _guard(1.0, given.max_new_tokens, given, sizes)


def _guard_test(given: Given, sizes: _Sizes) -> Work:
    new = WritingOptions().max_new_tokens if given.max_new_tokens is None else given.max_new_tokens
    return _guard(2.0 if given.costs else 1.0, new, given, sizes)


def _guard(models: float, new: float, given: Given, sizes: _Sizes) -> Work:
    n, tokens = sizes.prompts((*given.prompts, *given.benign), given), sizes["prompt_tokens"]
    judged = _reading(models * n, tokens + new, sizes, "judge_parameters")
    return _writing(models * n, tokens, new, sizes) + judged + Work(stored=n * sizes["neurons"] * 0.05 * 4)


def _scorers(given: Given, sizes: _Sizes) -> Work:
    scorers = len(given.scorers)
    located = _ranking(sizes.prompts(given.prompts, given), given.max_new_tokens, sizes)
    read = sizes.prompts((*given.prompts, *given.contrast, *given.neutral), given)
    stored = Work(stored=scorers * sizes["neurons"] * 56)
    patched = _patching(scorers, given.evaluate, given, sizes)
    return located + _reading(read, sizes["prompt_tokens"], sizes) + patched + stored


def _train_sft(given: Given, sizes: _Sizes) -> Work:
    """Weights are frozen: forward and the gradient of activations, 4 operations a weight and token."""
    return _training(given, sizes, 4, "sft_tokens")


def _train_pairs(given: Given, sizes: _Sizes) -> Work:
    """A model answers prompts."""
    return _writing(
        sizes.prompts((*given.refuse, *given.answer), given), sizes["prompt_tokens"], given.max_new_tokens, sizes
    )


def _train_dpo(given: Given, sizes: _Sizes) -> Work:
    """As SFT, of both texts of a pair, and the reference model reads them: 6 operations a weight and token."""
    return _training(given, sizes, 6, "pair_tokens")


def _training(given: Given, sizes: _Sizes, operations: int, tokens: str) -> Work:
    rows = sum(sizes.rows(each) for each in given.data) * given.epochs
    return Work(operations * sizes["parameters"] * rows * sizes[tokens], stored=sizes["neurons"] * 4)
