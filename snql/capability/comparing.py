"""The stages of a divergence run: read the donor's completions under every variant, then pool what was found."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
import torch

from snql.capability.completions import Completed
from snql.capability.measures import divergence
from snql.db import capability as rows
from snql.db.capability import DivergenceRow
from snql.db.judgements import POOLED
from snql.db.records import Variant
from snql.db.tables import flat, insert
from snql.jobs.run import Last
from snql.jobs.work import Done, Job
from snql.patching.interventions import Where
from snql.patching.reader import Reader, Text, ways
from snql.patching.subject import Subject
from snql.patching.variants import DONOR, MARKS, RECIPIENT
from snql.stats.closing import Closing, Closings
from snql.stats.interval import CONFIDENCE

_TYPICAL_LOGIT = 10.0


def rounding_floor(dtype: torch.dtype) -> float:
    """The divergence that rounding of logits may make: two models with less are the same, nats per token."""
    return (_TYPICAL_LOGIT * torch.finfo(dtype).eps) ** 2


@dataclass(frozen=True)
class Comparison:
    """What is read: texts of the donor's, under all variants of a subject."""

    subject: Subject
    where: Where
    texts: Sequence[Completed]
    seed: int

    def work(self, job: Job) -> Last:
        """Read what is left, in batches that are the same however often the run is resumed."""
        read_as = ways(self.subject)
        donor = read_as.pop(DONOR)
        reader = Reader(self.subject, self.where)
        plan = reader.plan([len(t.prompt.input_ids) + len(t.token_ids) - 1 for t in self.texts], len(read_as))
        known = rows.completions_read(job.db, job.run_id)

        def batches() -> Iterator[Done[DivergenceRow]]:
            for indices in plan.batches:
                batch = [self.texts[index] for index in indices]
                if all((text.prompt.prompt_id, text.sample) in known for text in batch):
                    continue
                texts = [_text(each) for each in batch]
                found = []
                for group in plan.groups(list(read_as)):
                    for index, (theirs, *others) in reader.read(texts, [donor, *(read_as[v] for v in group)]):
                        for variant, logits in zip(group, others, strict=True):
                            found.append(_row(variant, batch[index], theirs, logits))
                yield Done(found, len(found), sum(len(text.ids) for text in texts) * (len(read_as) + 1))

        watch = job.watch("divergence", len(known) * len(read_as), len(self.texts) * len(read_as), "completions")
        job.work_through(watch, batches(), lambda found: job.store(rows.write_rows, found))
        floor = rounding_floor(self.subject.target.base.model.dtype)
        found = closing_rows(rows.divergence_sums(job.db, job.run_id), self.subject.variants, floor, self.seed)
        return lambda connection: insert(connection, "divergence_effects", found, run_id=job.run_id)


def _text(each: Completed) -> Text:
    """What is read: the last token is only predicted, as when it was written."""
    ids = each.prompt.input_ids + each.token_ids[:-1]
    return Text(ids, len(each.token_ids), each.prompt.sha256, each.sample, len(each.prompt.input_ids))


def _row(variant: int, each: Completed, donor: torch.Tensor, logits: torch.Tensor) -> DivergenceRow:
    kls, agrees = divergence(donor, logits)
    return DivergenceRow(
        variant_id=variant,
        prompt_id=each.prompt.prompt_id,
        sample=each.sample,
        n_tokens=len(kls),
        kl=sum(kls),
        n_agreeing=sum(agrees),
        kls=kls,
        agrees=agrees,
    )


def closing_rows(sums: pl.DataFrame, variants: Sequence[Variant], floor: float, seed: int) -> list[dict[str, Any]]:
    """What every patched variant closes on each data set, and on all of them pooled if there are several.

    sums: one row per prompt and variant, as :func:`snql.db.capability.divergence_sums` gives them.
    """
    parts = {str(name): part for (name,), part in sums.group_by("dataset", maintain_order=True)}
    if len(parts) > 1:
        parts[POOLED] = sums
    columns = [RECIPIENT, *(v.variant_id for v in variants if v.members is not None)]
    place = {variant: column for column, variant in enumerate(columns)}
    found = []
    for dataset, part in parts.items():
        n_tokens, kl, agreeing = (_wide(part, value, columns) for value in ("n_tokens", "kl", "n_agreeing"))
        closings = Closings(n_tokens[:, 0], kl, agreeing, floor)
        for variant in columns[1:]:
            kind, controls = _controls(variants, variant)
            closing = closings.of(place[variant], [place[control] for control in controls])
            found.append({"variant_id": variant, "dataset": dataset, "control_kind": kind, **_flat(closing)})
            found[-1] |= {"confidence": CONFIDENCE, "resamples": 0, "seed": seed}
    return found


def _wide(part: pl.DataFrame, value: str, columns: Sequence[int]) -> np.ndarray[Any, np.dtype[np.float64]]:
    """One value of each prompt under each variant: Float64["prompts variants"]."""
    wide = part.pivot(on="variant_id", index="prompt_id", values=value, maintain_order=True)
    return wide.select(map(str, columns)).cast(pl.Float64).to_numpy()


def _controls(variants: Sequence[Variant], of: int) -> tuple[str | None, list[int]]:
    for kind in MARKS:  # a set is compared with the first kind that it has
        if found := [v.variant_id for v in variants if v.control_of == of and v.control_kind == kind]:
            return kind, found
    return None, []


def _flat(closing: Closing) -> dict[str, Any]:
    over = closing.over
    return {
        "n_prompts": closing.n_prompts,
        "n_tokens": closing.n_tokens,
        "kl_recipient": closing.kl_recipient,
        **flat("kl_recipient_", closing.kl_recipient_interval),
        "kl_patched": closing.kl_patched,
        **flat("kl_patched_", closing.kl_patched_interval),
        "closed": None if closing.closed is None else closing.closed.value,
        **flat("", closing.closed),
        "agreement_recipient": closing.agreement_recipient,
        "agreement_patched": closing.agreement_patched,
        "n_controls": None if over is None else over.n_controls,
        "controls_closed": None if over is None else over.controls_closed,
        "controls_difference": None if over is None or over.difference is None else over.difference.value,
        **flat("controls_difference_", None if over is None else over.difference),
    }
