"""``snql prompts``: what a job would read, before any model is loaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.jobs.inputs import read_inputs
from snql.prompts.options import PromptOptions
from snql.prompts.select import SetCounts
from snql.prompts.types import RawPrompt


@dataclass(frozen=True)
class Preview:
    """What would be read.

    prompts: dataset, category, label, turns, text, a row a prompt; with a model also formatted, n_tokens and input_ids.
    sets: the fields of :class:`SetCounts`, a row a data set; counts: the same. notes: what a run would say of them.
    """

    prompts: pl.DataFrame
    sets: pl.DataFrame
    counts: Sequence[SetCounts]
    notes: tuple[str, ...] = ()


def preview(db: Database, options: PromptOptions, seed: int = 0, model: str | None = None) -> Preview:
    """Read the prompts as ``locate`` and ``patch`` do; with ``model`` format them too, with its tokenizer alone.

    Raises InputError for bad prompts, and for formatting options without a model.
    """
    if model is None and (options.template, options.system, options.response_prefix) != ("auto", None, None):
        raise InputError("`template`, `system` and `response_prefix` need `model`, whose tokenizer applies them")
    read = read_inputs(db, options, seed).sets
    frame = _frame(read.prompts)
    if model is not None:
        frame = pl.concat([frame, _formatted(read.prompts, options, model)], how="horizontal")
    return Preview(frame, pl.DataFrame([asdict(counts) for counts in read.counts]), read.counts, read.notes)


def _frame(prompts: Sequence[RawPrompt]) -> pl.DataFrame:
    rows = [(p.dataset, p.category, p.label, len(p.messages), p.text) for p in prompts]
    kinds = {"dataset": pl.String, "category": pl.String, "label": pl.String, "turns": pl.Int64, "text": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _formatted(prompts: Sequence[RawPrompt], options: PromptOptions, model: str) -> pl.DataFrame:
    from snql.models.tokenizer import load_tokenizer
    from snql.prompts.template import Formatter, format_prompts

    given = format_prompts(prompts, Formatter.of(options, load_tokenizer(model)))
    ids = pl.Series("input_ids", [list(prompt.input_ids) for prompt in given], dtype=pl.List(pl.Int64))
    texts = pl.Series("formatted", [prompt.formatted for prompt in given])
    return pl.DataFrame([texts, ids.list.len().alias("n_tokens"), ids])
