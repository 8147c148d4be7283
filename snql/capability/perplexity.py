"""``snql perplexity``: how well a model predicts a text, plain and with neurons patched."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import numpy as np
import polars as pl

from snql.capability.documents import TextOptions, read_documents, tokenize_documents
from snql.capability.measures import token_nlls
from snql.capability.reader import Reader, Text
from snql.capability.subject import Subject, SubjectOptions, load_subject
from snql.capability.windows import Striding, Window
from snql.db import capability as rows
from snql.db import runs
from snql.db.capability import WindowRow
from snql.db.connection import Database
from snql.db.judgements import POOLED
from snql.db.prompts import read_sets
from snql.db.tables import flat, insert
from snql.jobs.begin import JOB_LOCK_SECONDS, begin_run
from snql.jobs.work import Done, Work, work_through
from snql.progress import ProgressCallback, silent
from snql.prompts.select import SetCounts
from snql.prompts.types import Prompt
from snql.stats.pooled import CONFIDENCE, RESAMPLES, Sums, resampled_sums
from snql.writing.html import table

DOCUMENT, WINDOW = "document", "window"


@dataclass(frozen=True)
class PerplexityOptions:
    """Settings of a perplexity run. window, stride: in tokens; see :class:`snql.capability.windows.Striding`."""

    subject: SubjectOptions
    text: TextOptions
    window: int | None = None
    stride: int | None = None

    def config(self, striding: Striding) -> dict[str, object]:
        """The canonical configuration: everything that the numbers depend on."""
        return self.subject.config() | vars(self.text) | vars(striding)


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
    if not resume:  # before anything is loaded: the configuration takes the model's context to be known
        runs.check_free(db, runs.NewRun("perplexity", name, {}, None), resume=False, force=force)
    read = read_documents(options.text, options.subject.seed)
    subject = load_subject(db, options.subject)
    base = subject.target.base
    striding = Striding.choose(options.window, options.stride, base.context_length)
    config = options.config(striding)
    new = runs.NewRun("perplexity", name, config, options.subject.seed, str(base.device), base.dtype_name)
    resumed = runs.check_free(db, new, resume=resume, force=force)
    if resumed is not None and resumed.status == "done":
        return _summary(db, name, resumed.run_id)
    documents = tokenize_documents(read, base.tokenizer)
    run_id, documents = begin_run(db, new, resumed, subject.records, documents, subject.variants, read, force=force)
    patient = Database(db.path, JOB_LOCK_SECONDS)
    db.close()
    with runs.recorded(patient, run_id):
        job = _Job(patient, run_id, subject, documents, striding, options.subject.seed)
        work_through(patient, run_id, job.work(), progress)
    return _summary(db, name, run_id)


@dataclass(frozen=True)
class _Job:
    """A run whose row, models, documents and variants are in the database."""

    db: Database
    run_id: int
    subject: Subject
    documents: Sequence[Prompt]
    striding: Striding
    seed: int

    def work(self) -> Work[list[tuple[Prompt, Window]], WindowRow]:
        """What is left to do, in batches that are the same however often the run is resumed."""
        reader = Reader(self.subject.target, self.subject.source, self.subject.sets, self.subject.intervention)
        windows = [(d, window) for d in self.documents for window in self.striding.windows(len(d.input_ids))]
        ways = self.subject.ways
        plan = reader.plan([window.stop - window.start - 1 for _, window in windows], len(ways))
        known = rows.windows_read(self.db, self.run_id)

        def left() -> Iterator[list[tuple[Prompt, Window]]]:
            for indices in plan.batches:
                batch = [windows[index] for index in indices]
                if any((d.prompt_id, window.index) not in known for d, window in batch):
                    yield batch

        def do(batch: list[tuple[Prompt, Window]]) -> Done[WindowRow]:
            texts = [Text(w.read(d.input_ids), w.n_tokens, d.sha256, w.index) for d, w in batch]
            found = []
            for group in plan.groups(list(ways)):
                for index, logits in reader.read(texts, [ways[variant] for variant in group]):
                    found += [_row(variant, *batch[index], part) for variant, part in zip(group, logits, strict=True)]
            return Done(found, len(found), sum(len(text.ids) for text in texts) * len(ways))

        total = len(windows) * len(ways)
        return Work("perplexity", "windows", len(known) * len(ways), total, left(), do, self._store, self._finish)

    def _store(self, connection: duckdb.DuckDBPyConnection, found: list[WindowRow]) -> None:
        rows.write_rows(connection, self.run_id, found)

    def _finish(self) -> Callable[[duckdb.DuckDBPyConnection], None]:
        found = perplexity_rows(rows.window_sums(self.db, self.run_id), self.seed)
        return lambda connection: insert(connection, "text_perplexities", found, run_id=self.run_id)


def _row(variant: int, document: Prompt, window: Window, logits: Any) -> WindowRow:
    nlls = token_nlls(logits, document.input_ids[window.first : window.stop])
    return WindowRow(
        variant, document.prompt_id, window.index, window.first, window.n_context, window.n_tokens, sum(nlls), nlls
    )


def perplexity_rows(windows: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """The perplexity of every variant on each data set, and on all of them pooled if there are several.

    windows: dataset, prompt_id, window_index, n_tokens, and a column of summed NLLs for each variant_id, of which the
    first is the unpatched model. Documents are drawn by the bootstrap, windows where there is one document.
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
        sums = resampled_sums(drawn.select("n_tokens", *variants).cast(pl.Float64).to_numpy(), seed)
        counts = {"dataset": dataset, "n_documents": len(documents), "n_windows": len(part), "unit": unit}
        for place, variant in enumerate(variants, start=1):
            found.append({"variant_id": int(variant), **counts, **_perplexity(sums, place), "seed": seed})
    return found


def _perplexity(sums: Sums, place: int) -> dict[str, Any]:
    """Of the variant in a column of the sums; tokens are in column 0, the unpatched model in column 1."""
    nll, change = sums.of[place] / sums.of[0], (sums.of[place] - sums.of[1]) / sums.of[0]
    own = ratio = None
    if (drawn := sums.resampled) is not None:
        own = sums.interval(np.exp(nll), np.exp(drawn[:, place] / drawn[:, 0]))
        ratio = sums.interval(np.exp(change), np.exp((drawn[:, place] - drawn[:, 1]) / drawn[:, 0]))
    return {
        "n_tokens": int(sums.of[0]), "nll": float(nll), "perplexity": float(np.exp(nll)), **flat("", own),
        "ratio": float(np.exp(change)), **flat("ratio_", ratio), "confidence": CONFIDENCE, "resamples": RESAMPLES,
    }  # fmt: skip


def _summary(db: Database, name: str, run_id: int) -> PerplexityResult:
    query = "SELECT * EXCLUDE (run_id) FROM perplexities WHERE run_id = ? ORDER BY dataset, variant_id"
    return PerplexityResult(name, run_id, db.frame(query, [run_id]), read_sets(db, run_id))
