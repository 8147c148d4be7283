"""``snql perplexity``: how well a model predicts a text, plain and with neurons patched."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from snql.capability.documents import read_documents, tokenize_documents
from snql.capability.measures import token_nlls
from snql.capability.options import PerplexityOptions
from snql.capability.subject import load_subject
from snql.capability.windows import Striding, Window
from snql.db import capability as rows
from snql.db import runs
from snql.db.capability import WindowRow
from snql.db.claims import Claim
from snql.db.connection import Database
from snql.db.judgements import POOLED
from snql.db.prompts import read_sets
from snql.db.tables import flat, insert
from snql.jobs.begin import Beginning
from snql.jobs.run import Announce, Last, Loaded, run_job
from snql.jobs.work import Done, Job
from snql.options import config
from snql.patching.reader import Reader, Text, ways
from snql.patching.subject import Subject
from snql.progress import ProgressCallback, silent
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.stats.effects import Array, ratio_interval
from snql.stats.interval import CONFIDENCE, Interval
from snql.writing.html import table

DOCUMENT, WINDOW = "document", "window"


@dataclass(frozen=True)
class PerplexityResult:
    """What a perplexity run found: its rows of ``perplexities``, and what became of the texts' rows."""

    run: str
    run_id: int
    perplexities: pl.DataFrame
    prompt_sets: list[SetCounts]

    def _repr_html_(self) -> str:
        columns = ("variant", "n_neurons", "dataset", "n_tokens", "perplexity", "ci_low", "ci_high", "ratio")
        return table(self.perplexities, columns, title=f"perplexity run {self.run}")


def perplexity(
    db: Database,
    name: str,
    options: PerplexityOptions,
    *,
    resume: bool = False,
    force: bool = False,
    progress: ProgressCallback = silent,
) -> PerplexityResult:
    """Read texts in strided windows under every variant, and store each token's negative log-likelihood.

    Raises InputError before anything is written for bad input. A failure later, or Ctrl-C, leaves what has been read,
    which ``resume`` continues from, to the same numbers.
    """
    seed = options.subject.seed
    new = runs.NewRun("perplexity", name, config(options), seed)
    if not resume:  # before anything is loaded: the configuration takes the model's context to be known
        runs.check_free(db, new, resume=False, force=force)
    read = read_documents(options.text, seed)
    with Claim(db, new, None, force=force or resume) as claim:
        subject = load_subject(db, options.subject, claim.take, own_template=False)
        striding = Striding.choose(options.window, options.stride, subject.context)

        def load(_: Announce) -> Loaded:
            documents = tokenize_documents(read, subject.target.base.tokenizer, progress)
            beginning = Beginning.of(subject.models, documents, subject.variants, read)
            return Loaded(beginning, lambda job: _work(job, subject, striding, seed))

        settled = replace(new, config=config(options) | vars(striding))  # as this model takes window and stride
        found = partial(_summary, db, name)
        return run_job(db, settled, load, found, resume=resume, force=force, progress=progress, claim=claim)


def _work(job: Job, subject: Subject, striding: Striding, seed: int) -> Last:
    """Read what is left, in batches that are the same however often the run is resumed."""
    reader = Reader(subject)
    windows = [(d, window) for d in job.prompts() for window in striding.windows(len(d.input_ids))]
    read_as = ways(subject)
    plan = reader.plan([window.stop - window.start - 1 for _, window in windows], len(read_as))
    known = rows.windows_read(job.db, job.run_id)

    def batches() -> Iterator[Done[WindowRow]]:
        for indices in plan.batches:
            batch = [windows[index] for index in indices]
            if all((d.prompt_id, window.index) in known for d, window in batch):
                continue
            texts = [Text(w.read(d.input_ids), w.n_tokens, d.sha256, w.index) for d, w in batch]
            found = []
            for group in plan.groups(list(read_as)):
                for index, logits in reader.read(texts, [read_as[variant] for variant in group]):
                    found += [_row(variant, *batch[index], part) for variant, part in zip(group, logits, strict=True)]
            yield Done(found, len(found), sum(len(text.ids) for text in texts) * len(read_as))

    watch = job.watch("perplexity", len(known) * len(read_as), len(windows) * len(read_as), "windows")
    job.work_through(watch, batches(), lambda found: job.store(rows.write_rows, found))
    found = perplexity_rows(rows.window_sums(job.db, job.run_id), seed)
    return lambda connection: insert(connection, "text_perplexities", found, run_id=job.run_id)


def _row(variant: int, document: Prompt, window: Window, logits: Any) -> WindowRow:
    nlls = token_nlls(logits, document.input_ids[window.first : window.stop])
    return WindowRow(
        variant, document.prompt_id, window.index, window.first, window.n_context, window.n_tokens, sum(nlls), nlls
    )


def perplexity_rows(windows: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """The perplexity of every variant on each data set, and on all of them pooled if there are several.

    windows: dataset, prompt_id, window_index, n_tokens, and a column of summed NLLs for each variant_id, of which the
    first is the unpatched model. Documents are the sample, windows where there is one document.
    """
    parts = {str(name): part for (name,), part in windows.group_by("dataset", maintain_order=True)}
    if len(parts) > 1:
        parts[POOLED] = windows
    variants = [name for name in windows.columns if name.isdecimal()]
    found = []
    for dataset, part in parts.items():
        documents = part.group_by("prompt_id", maintain_order=True).agg(pl.col("n_tokens", *variants).sum())
        unit = DOCUMENT if len(documents) > 1 else WINDOW
        drawn = documents if unit == DOCUMENT else part
        n_tokens, *nlls = drawn.select("n_tokens", *variants).cast(pl.Float64).to_numpy().T
        counts = {"dataset": dataset, "n_documents": len(documents), "n_windows": len(part), "unit": unit}
        sure = {"confidence": CONFIDENCE, "resamples": 0, "seed": seed}
        for variant, nll in zip(variants, nlls, strict=True):
            found.append({"variant_id": int(variant), **counts, **_perplexity(n_tokens, nll, nlls[0]), **sure})
    return found


def _perplexity(n_tokens: Array, nll: Array, unpatched: Array) -> dict[str, Any]:
    """From each text's number of tokens and summed NLLs, of a variant and of the unpatched model."""
    mean, change = (float(sums.sum() / n_tokens.sum()) for sums in (nll, nll - unpatched))
    found = {"n_tokens": int(n_tokens.sum()), "nll": mean, "perplexity": math.exp(mean)}
    against = {"ratio": math.exp(change)} | flat("ratio_", _exponential(ratio_interval(nll - unpatched, n_tokens)))
    return found | flat("", _exponential(ratio_interval(nll, n_tokens))) | against


def _exponential(interval: Interval | None) -> Interval | None:
    if interval is None:
        return None
    return Interval(*(math.exp(bound) for bound in (interval.value, interval.low, interval.high)))


def _summary(db: Database, name: str, run_id: int) -> PerplexityResult:
    query = "SELECT * EXCLUDE (run_id) FROM perplexities WHERE run_id = ? ORDER BY dataset, variant_id"
    return PerplexityResult(name, run_id, db.frame(query, [run_id]), read_sets(db, run_id))
