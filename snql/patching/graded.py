"""Graded effects: what share of the way from recipient to donor a set goes, where their texts part.

A judge sees an answer change only where the patched model finds another token likelier than the recipient did, so a
judged effect is the share of prompts that cross a threshold. Here all variants read the prompt and what recipient and
donor both wrote, up to the first step at which these differ, and what counts is the log-odds there of the donor's token
against the recipient's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import polars as pl
import torch

from snql.db import margins, records
from snql.db.judgements import POOLED
from snql.db.margins import GradedRow, MarginRow
from snql.db.records import Variant
from snql.jobs.work import Done, Job
from snql.judges.judging import effect_rows
from snql.patching.interventions import Where
from snql.patching.reader import Reader, Text, ways
from snql.patching.subject import Subject
from snql.patching.variants import DONOR, MARKS, RECIPIENT
from snql.prompts.types import Prompt

_FIRST_SAMPLE = 0


@dataclass(frozen=True)
class Parting:
    """A prompt whose texts by recipient and donor differ, first after ``common``: in these tokens."""

    prompt: Prompt
    common: tuple[int, ...]
    recipient_token: int
    donor_token: int

    @classmethod
    def of(cls, prompt: Prompt, recipient: Sequence[int], donor: Sequence[int]) -> "Parting | None":
        """None where the texts are the same, or one ends without a token of its own."""
        for step, (ours, theirs) in enumerate(zip(recipient, donor, strict=False)):
            if ours != theirs:
                return cls(prompt, tuple(recipient[:step]), ours, theirs)
        return None

    @property
    def text(self) -> Text:
        """What every variant reads."""
        ids = self.prompt.input_ids + self.common
        return Text(ids, 1, self.prompt.sha256, _FIRST_SAMPLE, len(self.prompt.input_ids))

    def row(self, variant_id: int, logits: torch.Tensor) -> MarginRow:
        """The margin in logits after the text, Float[Tensor, "1 vocabulary"]: their difference is that of log-odds."""
        donor, recipient = logits[-1, [self.donor_token, self.recipient_token]].double().tolist()
        step = len(self.common) + 1
        return MarginRow(
            variant_id, self.prompt.prompt_id, step, self.recipient_token, self.donor_token, donor - recipient
        )


@dataclass(frozen=True)
class GradedJob:
    """The stage of a greedy run with a donor that measures margins, from what its unpatched models have written."""

    job: Job
    subject: Subject
    where: Where
    seed: int

    def measure(self) -> None:
        """Read what is left, in batches that are the same however often the run is resumed; then the effects."""
        job, prompts = self.job, self.job.prompts()
        partings = self._partings(prompts)
        read_as = ways(self.subject)
        reader = Reader(self.subject, self.where)
        plan = reader.plan([len(each.text.ids) for each in partings], len(read_as))
        known = margins.prompts_measured(job.db, job.run_id)

        def batches() -> Iterator[Done[MarginRow]]:
            for indices in plan.batches:
                batch = [partings[index] for index in indices]
                if all(each.prompt.prompt_id in known for each in batch):
                    continue
                texts = [each.text for each in batch]
                found = []
                for group in plan.groups(list(read_as)):
                    for index, logits in reader.read(texts, [read_as[variant] for variant in group]):
                        found += [batch[index].row(*each) for each in zip(group, logits, strict=True)]
                yield Done(found, len(found), sum(len(text.ids) for text in texts) * len(read_as))

        watch = job.watch("margins", len(known) * len(read_as), len(partings) * len(read_as), "texts")
        job.work_through(watch, batches(), lambda found: job.store(margins.write_margins, found))
        n_same = _counted(prompts, {each.prompt.prompt_id for each in partings})
        found = graded_rows(margins.margins_by_variant(job.db, job.run_id), self.subject.variants, n_same, self.seed)
        job.store(margins.write_graded, found)

    def _partings(self, prompts: Sequence[Prompt]) -> list[Parting]:
        ids = [prompt.prompt_id for prompt in prompts]
        recipient, donor = (
            records.read_tokens(self.job.db, self.job.run_id, variant, ids) for variant in (RECIPIENT, DONOR)
        )
        written = ((prompt, (prompt.prompt_id, _FIRST_SAMPLE)) for prompt in prompts)
        found = (Parting.of(prompt, recipient[key], donor[key]) for prompt, key in written)
        return [parting for parting in found if parting is not None]


def _counted(prompts: Sequence[Prompt], parted: set[int]) -> dict[str, int]:
    """How many prompts of each data set, and of all, have no parting."""
    found = {POOLED: 0} | dict.fromkeys((prompt.dataset for prompt in prompts), 0)
    for prompt in prompts:
        for dataset in (POOLED, prompt.dataset):
            found[dataset] += prompt.prompt_id not in parted
    return found


def graded_rows(
    scores: pl.DataFrame, variants: Sequence[Variant], n_same: Mapping[str, int], seed: int
) -> list[GradedRow]:
    """The graded effect of every patched variant on each data set, and on all of them pooled if there are several.

    scores: dataset, prompt_id, and a column of margins for each variant_id.
    """
    if scores.is_empty():
        return []
    roles = pl.DataFrame(
        [(each.variant_id, each.role, each.control_of, each.control_kind) for each in variants],
        schema={"variant_id": pl.Int64, "role": pl.String, "control_of": pl.Int64, "control_kind": pl.String},
        orient="row",
    )
    effects, compared = effect_rows(scores, "", roles, seed)
    controls = {
        (row.variant_id, row.dataset): row
        for kind in reversed(MARKS)  # a set is compared with the first kind that it has
        for row in compared
        if row.control_kind == kind
    }
    found = []
    for row in effects:
        among = scores if row.dataset == POOLED else scores.filter(dataset=row.dataset)
        n_crossed = int((among[str(row.variant_id)] > 0).sum())
        graded = GradedRow(row.variant_id, row.dataset, row.effect, n_same[row.dataset], n_crossed)
        if (control := controls.get((row.variant_id, row.dataset))) is not None:
            graded = replace(graded, control_kind=control.control_kind, controls=control.found)
        found.append(graded)
    return found
