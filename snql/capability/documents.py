"""The documents that perplexity is measured on: rows of data files, or whole text files."""

from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from snql.capability.options import TextOptions
from snql.errors import InputError
from snql.jobs.inputs import PromptInputs
from snql.progress import ProgressCallback, counted, silent
from snql.prompts.files import Row, is_untyped, read_rows, read_text
from snql.prompts.options import PromptOptions
from snql.prompts.read import PromptSets, locate_source
from snql.prompts.select import Limits, select
from snql.prompts.types import Prompt, RawPrompt
from snql.prompts.where import where

COLUMNS = ("text", "content", "document", "prompt")
"""Columns recognised when none is named, in this order, in capitals or not."""

BETWEEN = "\n\n"
"""What stands between the rows of a joined document, as is usual for WikiText."""

_PLAIN = ("", ".gz", ".xz")


def read_documents(options: TextOptions, seed: int) -> PromptInputs:
    """Read the documents, equal ones once, with counts of what was left out.

    Raises InputError for a missing or unreadable file, a missing column, or a text that is empty.
    """
    documents: list[RawPrompt] = []
    counts = []
    for source in options.text:
        found, n_rows = _documents(source, options)
        if not any(document is not None for document in found):
            raise InputError(f"text {source} is empty: give a text with words in it")
        dataset = locate_source(source)[1]
        if dataset in {document.dataset for document in documents}:
            raise InputError(f"two texts are both named {dataset!r}: rename one of the files")
        limits = Limits(options.sample, seed, None if options.join else options.limit)
        kept, counted = select(dataset, n_rows, found, {d.sha256 for d in documents}, (), limits)
        documents += kept
        counts.append(counted)
    chosen = PromptOptions(
        options.text,
        prompt_column=options.text_column,
        template="plain",
        limit=options.limit,
        sample=options.sample,
        where=options.where,
    )
    return PromptInputs(chosen, PromptSets(documents, counts), ())


def _documents(source: str, options: TextOptions) -> tuple[list[RawPrompt | None], int]:
    """The documents of one source, None for a row without text, and how many rows there were."""
    paths, dataset = locate_source(source)
    if all(_is_text(path) for path in paths):
        texts = [read_text(path, source) for path in paths]
        return [RawPrompt(dataset, text) if text.strip() else None for text in texts], len(texts)
    rows = [row for path in paths for row in read_rows(path, source)]
    chosen = rows
    if options.where is not None:
        chosen = where(rows, options.where, source, untyped=all(map(is_untyped, paths)))
    texts = [_text_of(row, options.text_column, source) for row in chosen]
    if options.join:
        joined = BETWEEN.join(texts[: options.limit])
        return [RawPrompt(dataset, joined) if joined.strip() else None], 1
    return [RawPrompt(dataset, text) if text.strip() else None for text in texts], len(rows)


def _is_text(path: Path) -> bool:
    name = path.name.lower()
    return any(name.endswith(f".txt{packed}") for packed in _PLAIN)


def _text_of(row: Row, column: str | None, source: str) -> str:
    lowered = {str(name).lower(): name for name in row}
    known = column if column in row else None if column else next((lowered[c] for c in COLUMNS if c in lowered), None)
    if known is None:
        wanted = f"column {column!r}" if column else f"column named {', '.join(COLUMNS)}"
        raise InputError(
            f"text {source} has no {wanted}: its columns are {', '.join(map(str, row))}; use `text_column`"
        )
    value: Any = row[known]
    if value is None:
        return ""
    if not isinstance(value, str):
        raise InputError(f"text {source}: column {known!r} holds a {type(value).__name__}, not text; use `text_column`")
    return value


def tokenize_documents(
    read: PromptInputs, tokenizer: PreTrainedTokenizerBase, progress: ProgressCallback = silent
) -> list[Prompt]:
    """The documents with their token ids, the tokenizer's own special tokens included.

    A document of less than two tokens has nothing to predict. Raises InputError if all are such.
    """
    documents = []
    for raw in counted(read.sets.prompts, progress, "tokenize", "documents"):
        ids = tuple(tokenizer(raw.text, verbose=False)["input_ids"])
        documents.append(Prompt(raw.dataset, raw.text, raw.category, raw.label, formatted=raw.text, input_ids=ids))
    longest = max(documents, key=lambda document: len(document.input_ids))
    if len(longest.input_ids) < 2:
        raise InputError(
            f"text {longest.text[:40]!r} of {longest.dataset} has {len(longest.input_ids)} tokens: the first one is "
            "only context, so at least 2 are needed"
        )
    return documents
