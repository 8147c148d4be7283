"""The training loops: pre-training, supervised fine-tuning and DPO. A few lines of plain torch each.

The tuning loops train IA3 vectors only. Weight decay is 0 there: it would pull the vectors to 0, not to 1.
"""

# ruff: noqa: S311 (reproducible text, not secrets)

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM

from snql.organism.factory.model import scaled
from snql.organism.factory.tokenizer import PAD

Progress = Callable[[str], None]


def silent(_: str) -> None:
    """A progress callback that says nothing."""


@dataclass(frozen=True)
class Loop:
    """How long and how fast one loop trains. `batch` counts texts, or pairs for DPO."""

    steps: int
    batch: int
    rate: float


@dataclass(frozen=True)
class Example:
    """Token ids of one text; the completion begins at `start` (1 for a plain text)."""

    ids: tuple[int, ...]
    start: int = 1


PairOfExamples = tuple[Example, Example]

BETA = 0.2
"""How strongly DPO holds the policy to its reference. At 0.1, completions got garbled sooner."""


def pretrain(model: LlamaForCausalLM, examples: Sequence[Example], loop: Loop, progress: Progress) -> None:
    """Next-token prediction over every token of every text; changes the model in place."""
    model.train()
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "weight_decay": 0.01},
        {"params": [p for p in model.parameters() if p.dim() == 1], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lr=loop.rate, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, loop.rate, loop.steps, pct_start=0.08)
    for step, batch in enumerate(bucketed(examples, loop), start=1):
        sums, counts = completion_logps(model, batch)
        loss = -sums.sum() / counts.sum()
        _step(optimizer, loss, list(model.parameters()))
        schedule.step()
        _report(progress, "pre-training", step, loop, loss)
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


def train_sft(model: LlamaForCausalLM, examples: Sequence[Example], loop: Loop, progress: Progress) -> Tensor:
    """IA3 vectors (layers x neurons) that make the completions of `examples` likely."""
    scales = _unit_scales(model)
    optimizer = torch.optim.AdamW([scales], lr=loop.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, loop.steps, loop.rate * 0.1)
    for step in range(1, loop.steps + 1):
        batch = examples[(step - 1) * loop.batch : step * loop.batch]
        with scaled(model, scales):
            sums, counts = completion_logps(model, batch)
        loss = -sums.sum() / counts.sum()
        _step(optimizer, loss, [scales])
        schedule.step()
        _report(progress, "fine-tuning", step, loop, loss)
    return scales.detach()


def train_dpo(
    model: LlamaForCausalLM,
    reference: Tensor,
    pairs: Sequence[PairOfExamples],
    loop: Loop,
    progress: Progress,
) -> Tensor:
    """IA3 vectors over `reference` that prefer each pair's first text (DPO, Rafailov et al. 2023, eq. 7).

    The policy's scales are `reference * vectors`; the reference model is the base with `reference` alone.
    """
    vectors = _unit_scales(model)
    optimizer = torch.optim.AdamW([vectors], lr=loop.rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, loop.steps, loop.rate * 0.1)
    for step in range(1, loop.steps + 1):
        batch = pairs[(step - 1) * loop.batch : step * loop.batch]
        texts = [pair[0] for pair in batch] + [pair[1] for pair in batch]
        with torch.no_grad(), scaled(model, reference):
            before, _ = completion_logps(model, texts)
        with scaled(model, reference * vectors):
            after, _ = completion_logps(model, texts)
        gain_chosen, gain_rejected = (after - before).chunk(2)
        loss = -functional.logsigmoid(BETA * (gain_chosen - gain_rejected)).mean()
        _step(optimizer, loss, [vectors])
        schedule.step()
        _report(progress, "preferences", step, loop, loss)
    return vectors.detach()


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


def _unit_scales(model: LlamaForCausalLM) -> Tensor:
    shape = model.config.num_hidden_layers, model.config.intermediate_size
    return torch.ones(shape, requires_grad=True)


def _step(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: list[Tensor]) -> None:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def _report(progress: Progress, what: str, step: int, loop: Loop, loss: Tensor) -> None:
    if step % 20 == 0 or step == loop.steps:
        progress(f"{what}: step {step}/{loop.steps}, loss {loss.item():.3f}")
