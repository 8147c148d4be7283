"""Pre-training of the base: a few lines of plain torch."""

# ruff: noqa: S311 (reproducible text, not secrets)

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM

from snql.organism.factory.tokenizer import PAD

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """A progress callback that says nothing."""


@dataclass(frozen=True)
class Loop:
    """How long and how fast one stage trains. `batch` counts texts, or pairs for DPO.

    beta: how strongly DPO holds the model to its reference; of other stages it says nothing. At 0.2 and 0.5, and rates
    that move the model far enough, refusals got garbled; concise has to go farther from its reference than the others.
    """

    steps: int
    batch: int
    rate: float
    beta: float = 1.0


@dataclass(frozen=True)
class Pace:
    """What a stage is called, which share of its steps warms up, and after how many it reports."""

    what: str
    warmup: float
    every: int


@dataclass(frozen=True)
class Example:
    """Token ids of one text; the completion begins at `start` (1 for a plain text)."""

    ids: tuple[int, ...]
    start: int = 1


def pretrain(model: LlamaForCausalLM, examples: Sequence[Example], loop: Loop, progress: Progress) -> None:
    """Next-token prediction over every token of every text; changes the model in place."""
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=loop.rate, betas=(0.9, 0.98))
    sums = (completion_logps(model, batch) for batch in bucketed(examples, loop))
    losses = (-logps.sum() / counts.sum() for logps, counts in sums)
    descend(model, optimizer, losses, loop, Pace("pre-training", warmup=0.08, every=20), progress)


def descend(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    losses: Iterable[Tensor],
    loop: Loop,
    pace: Pace,
    progress: Progress,
) -> None:
    """Take a step down each loss, which is computed when the one before has been taken; changes the model in place."""
    model.train()
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, loop.rate, loop.steps, pct_start=pace.warmup)
    for step, loss in enumerate(losses, start=1):
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        if step % pace.every == 0 or step == loop.steps:
            progress(f"{pace.what}: step {step}/{loop.steps}, loss {loss.item():.3f}")
    model.train(False)
    model.requires_grad_(False)


def bucketed(examples: Sequence[Example], loop: Loop) -> Iterable[Sequence[Example]]:
    """`loop.steps` batches of texts of similar length, in a fixed pseudo-random order."""
    pool = 16 * loop.batch
    batches: list[Sequence[Example]] = []
    for begin in range(0, loop.steps * loop.batch, pool):
        chunk = sorted(examples[begin : begin + pool], key=lambda example: len(example.ids))
        batches += [chunk[i : i + loop.batch] for i in range(0, len(chunk), loop.batch)]
    random.Random("batches").shuffle(batches)
    return batches


def completion_logps(model: LlamaForCausalLM, batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Per text, the summed log-probability of its completion tokens and their number (both: [texts]).

    Padding is on the right, where causal attention never looks, so no mask is needed.
    """
    ids, chosen = _padded(batch)
    hidden = model.model(input_ids=ids[:, :-1], use_cache=False).last_hidden_state
    logits = model.lm_head(hidden[chosen])
    token_logps = -functional.cross_entropy(logits, ids[:, 1:][chosen], reduction="none")
    rows = chosen.nonzero()[:, 0]
    sums = torch.zeros(len(batch)).index_add(0, rows, token_logps)
    return sums, chosen.sum(1)


def _padded(batch: Sequence[Example]) -> tuple[Tensor, Tensor]:
    """Token ids [texts, tokens] and, one column shorter, which next tokens belong to completions."""
    width = max(len(example.ids) for example in batch)
    ids = torch.full((len(batch), width), PAD)
    chosen = torch.zeros(len(batch), width - 1, dtype=torch.bool)
    for row, example in enumerate(batch):
        ids[row, : len(example.ids)] = torch.tensor(example.ids)
        chosen[row, example.start - 1 : len(example.ids) - 1] = True
    return ids, chosen
