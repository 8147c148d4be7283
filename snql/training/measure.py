"""What a training has changed, on examples that it has not seen: with the new vectors on and off, by forward passes.

Losses and rewards are computed here and not by TRL, so that batches of other sizes count as they should.
"""

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import torch

from snql.stats.effects import Array, mean_interval, ratio_interval
from snql.training.options import TrainOptions
from snql.training.subject import Subject
from snql.training.tokens import IGNORED

_KINDS = {
    "measure": pl.String,
    "before": pl.Float64,
    "after": pl.Float64,
    "change": pl.Float64,
    "ci_low": pl.Float64,
    "ci_high": pl.Float64,
    "n_examples": pl.Int64,
}


def measure(subject: Subject, held_out: pa.Table, options: TrainOptions, max_length: int) -> pl.DataFrame:
    """One row a measure: before, after, the change with its interval over examples, and their number.

    sft: ``loss``, nats per token of the answers, and ``token_accuracy``, the share of them that are the likeliest.
    dpo: ``loss`` per pair (Rafailov et al. 2023, eq. 7), ``reward_margin``, ``reward_chosen``, ``reward_rejected``, and
    ``pair_accuracy``, the share of pairs whose margin is above 0; undefined before, as all margins are 0.
    """
    if not held_out.num_rows:
        return pl.DataFrame(schema=_KINDS)
    subject.model.eval()
    found = _MEASURES[options.stage](subject, held_out, options, max_length)
    return pl.DataFrame(found, schema=_KINDS, orient="row")


def as_frame(rows: Sequence[dict[str, Any]]) -> pl.DataFrame:
    """The rows of :func:`measure` again, from JSON."""
    return pl.DataFrame(rows, schema=_KINDS)


Row = tuple[str, float | None, float, float | None, float | None, float | None, int]


def _answers(subject: Subject, table: pa.Table, options: TrainOptions, _: int) -> list[Row]:
    texts = [(row["input_ids"], row["labels"]) for row in table.to_pylist()]
    before, after = (token_sums(subject, texts, options.at_once, trained=trained) for trained in (False, True))
    n_tokens = before[:, 2]
    found: list[Row] = []
    for name, column, sign in (("loss", 0, -1.0), ("token_accuracy", 1, 1.0)):
        old, new = (sign * sums[:, column] for sums in (before, after))
        values = [float(sums.sum() / n_tokens.sum()) for sums in (old, new, new - old)]
        interval = ratio_interval(new - old, n_tokens)
        ends = (None, None) if interval is None else (interval.low, interval.high)
        found.append((name, values[0], values[1], values[2], *ends, len(texts)))
    return found


def _pairs(subject: Subject, table: pa.Table, options: TrainOptions, max_length: int) -> list[Row]:
    rows = table.to_pylist()
    sides: dict[str, Array] = {}
    for name in ("chosen", "rejected"):
        texts = [_labelled(row["prompt_ids"], row[f"{name}_ids"], max_length) for row in rows]
        before, after = (token_sums(subject, texts, options.at_once, trained=on)[:, 0] for on in (False, True))
        sides[name] = options.beta * (after - before)
    margins = sides["chosen"] - sides["rejected"]
    values = {
        "loss": (np.log(2.0), np.logaddexp(0.0, -margins)),
        "reward_margin": (0.0, margins),
        "reward_chosen": (0.0, sides["chosen"]),
        "reward_rejected": (0.0, sides["rejected"]),
    }
    found: list[Row] = []
    for name, (old, new) in values.items():
        change = mean_interval(new - old)
        ends = (None, None) if change is None else (change.low, change.high)
        found.append((name, float(old), float(new.mean()), float((new - old).mean()), *ends, len(rows)))
    return [*found, ("pair_accuracy", None, float((margins > 0).mean()), None, None, None, len(rows))]


_MEASURES = {"sft": _answers, "dpo": _pairs}


def _labelled(prompt: Sequence[int], answer: Sequence[int], max_length: int) -> tuple[list[int], list[int]]:
    ids, labels = [*prompt, *answer], [*[IGNORED] * len(prompt), *answer]
    return ids[:max_length], labels[:max_length]


Text = tuple[Sequence[int], Sequence[int]]
"""Token ids and labels."""


def token_sums(subject: Subject, texts: Sequence[Text], at_once: int, *, trained: bool) -> Array:
    """Over the labelled tokens of each text: sum of log-probabilities, number of likeliest ones, and number.

    Float64["texts 3"]. trained: with the new vectors, else without.
    """
    model: Any = subject.model
    found = np.zeros((len(texts), 3))
    with torch.inference_mode(), nullcontext() if trained else model.disable_adapter():
        for places in _batches(texts, at_once):
            width = max(len(texts[place][0]) for place in places)
            ids = torch.zeros(len(places), width, dtype=torch.long)
            labels, mask = torch.full_like(ids, IGNORED), torch.zeros_like(ids)
            for row, place in enumerate(places):
                length = len(texts[place][0])
                ids[row, :length], labels[row, :length] = (torch.tensor(part) for part in texts[place])
                mask[row, :length] = 1
            on = model.device
            logits = model(input_ids=ids.to(on), attention_mask=mask.to(on), use_cache=False).logits[:, :-1]
            wanted = labels[:, 1:].to(on)
            for row, place in enumerate(places):
                chosen = wanted[row] != IGNORED
                scores, right = logits[row, chosen].float(), wanted[row, chosen]
                picked = torch.log_softmax(scores, dim=-1).gather(1, right[:, None]).double().sum()
                found[place] = float(picked), float((scores.argmax(dim=-1) == right).sum()), len(right)
    return found


def _batches(texts: Sequence[Text], at_once: int) -> Iterator[Sequence[int]]:
    """Places of texts of like lengths together."""
    order = sorted(range(len(texts)), key=lambda place: len(texts[place][0]))
    for start in range(0, len(order), at_once):
        yield order[start : start + at_once]
