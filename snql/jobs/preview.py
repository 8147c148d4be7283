"""``snql prompts``: what a job would read, before any model is loaded."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

import polars as pl

from snql.db.connection import Database
from snql.errors import InputError
from snql.jobs.inputs import PromptInputs, read_inputs
from snql.progress import ProgressCallback, silent
from snql.prompts.options import ROLES, PromptOptions
from snql.prompts.select import SetCounts
from snql.prompts.types import RawPrompt

_FORMATTING = ("template", "system", "response_prefix", "template_options", "template_date", "prompt_special_tokens")


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


def preview(
    db: Database,
    options: PromptOptions,
    seed: int = 0,
    model: str | None = None,
    progress: ProgressCallback = silent,
) -> Preview:
    """Read the prompts as ``locate`` and ``patch`` do; with ``model`` format them too, with its tokenizer alone.

    Raises InputError for bad prompts, and for formatting options without a model.
    """
    if model is None and any(getattr(options, name) != getattr(PromptOptions(), name) for name in _FORMATTING):
        raise InputError("`template`, `system` and `response_prefix` need `model`, whose tokenizer applies them")
    read = read_inputs(db, options, seed, progress=progress)
    frame = _frame(read.sets.prompts)
    if model is not None:
        formatted, read = _formatted(read, model, progress)
        frame = pl.concat([frame, formatted], how="horizontal")
    counts = read.sets.counts
    return Preview(frame, pl.DataFrame([asdict(each) for each in counts]), counts, read.sets.notes)


def _frame(prompts: Sequence[RawPrompt]) -> pl.DataFrame:
    rows = [(p.dataset, p.category, p.label, len(p.messages), p.text) for p in prompts]
    kinds = {"dataset": pl.String, "category": pl.String, "label": pl.String, "turns": pl.Int64, "text": pl.String}
    return pl.DataFrame(rows, schema=kinds, orient="row")


def _formatted(read: PromptInputs, model: str, progress: ProgressCallback) -> tuple[pl.DataFrame, PromptInputs]:
    from snql.jobs.begin import Readers, tokenize
    from snql.models.tokenizer import load_tokenizer, own_template, template_of_model

    readers = Readers(load_tokenizer(model), None, None, dict.fromkeys(ROLES, model))
    given = tokenize(read, readers, 0, progress)
    ids = pl.Series("input_ids", [list(prompt.input_ids) for prompt in given.prompts], dtype=pl.List(pl.Int64))
    texts = pl.Series("formatted", [prompt.formatted for prompt in given.prompts])
    read = given.read
    if read.options.own_template and template_of_model(model)[1] != own_template(readers.tokenizer):
        note = f"an adapter of {model} was saved with another chat template: `template` after puts prompts into it"
        read = replace(read, sets=replace(read.sets, notes=(*read.sets.notes, note)))
    return pl.DataFrame([texts, ids.list.len().alias("n_tokens"), ids]), read
