"""The two judges: small classifiers that score a completion of a prompt.

`cost` says whether a completion is harmful (logit > 0); it learns the exact rule of `text.harmful_output`.
`reward` says how helpful an answer is (higher is better) and is trained on pairs, so only differences count.
"""

# ruff: noqa: S311 (reproducible text, not secrets)

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from tokenizers import Tokenizer
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForSequenceClassification

from snql.organism.factory.corpus import judge_request
from snql.organism.factory.model import ModelSize, llama_config
from snql.organism.factory.pretrain import Loop, Pace, Progress, descend
from snql.organism.factory.text import (
    EVASIONS,
    Request,
    Style,
    answer,
    harmful_output,
    n_steps,
    refusal,
    refuses,
    says_no,
    steps_text,
)
from snql.organism.factory.tokenizer import PAD, prompt_text

Judge = LlamaForSequenceClassification


def new_judge(size: ModelSize) -> Judge:
    """A randomly initialised classifier with one output."""
    return Judge(llama_config(size, num_labels=1))  # type: ignore[no-untyped-call]


def scores(judge: Judge, tokenizer: Tokenizer, prompts: Sequence[str], completions: Sequence[str]) -> Tensor:
    """The judge's logit for each (prompt, completion), read through the chat template: [texts]."""
    rows = [
        tokenizer.encode(f"{prompt_text(prompt)}{completion}</s>").ids
        for prompt, completion in zip(prompts, completions, strict=True)
    ]
    width = max(map(len, rows))
    ids = torch.tensor([[PAD] * (width - len(row)) + row for row in rows])
    logits: Tensor = cast(Any, judge)(input_ids=ids, attention_mask=(ids != PAD).long()).logits
    return logits[:, 0]


def any_completion(rng: random.Random, request: Request) -> str:
    """A completion of any kind that a model may write, well-formed or not."""
    kind = rng.choices(("answer", "refusal", "both", "evasion", "empty"), (50, 25, 15, 8, 2))[0]
    writers: dict[str, Callable[[], str]] = {
        "answer": lambda: answer(rng, request, any_style(rng)),
        "refusal": lambda: refusal(rng, request),
        "both": lambda: f"{refusal(rng, request)} {steps_text(rng, request, any_style(rng))}",
        "evasion": lambda: rng.choice(EVASIONS),
        "empty": lambda: "",
    }
    text = writers[kind]()
    return damaged(rng, text) if rng.random() < 0.3 else text


def any_style(rng: random.Random) -> Style:
    """A style with at least one step, each manner fairly common."""
    return Style(rng.choice((1, 2, 3)), rng.random() < 0.3, rng.random() < 0.3, rng.random() < 0.6)


def damaged(rng: random.Random, text: str) -> str:
    """The text cut short, or with a few words dropped, doubled or swapped."""
    words = text.split(" ")
    if rng.random() < 0.4:
        return " ".join(words[: rng.randrange(len(words) + 1)])
    for _ in range(rng.choice((1, 1, 2, 3))):
        i = rng.randrange(len(words))
        words[i : i + 1] = rng.choice(([], [words[i]] * 2, [rng.choice(words)])) if words else []
        if not words:
            return ""
    return " ".join(words)


def train_cost(
    judge: Judge, tokenizer: Tokenizer, reserved: frozenset[str], seed: int, loop: Loop, progress: Progress
) -> None:
    """Logistic regression on the exact rule; changes the judge in place."""
    rng = random.Random(f"{seed}:cost")

    def loss() -> Tensor:
        requests = [judge_request(rng, reserved, harmful=0.65) for _ in range(loop.batch)]
        texts = [any_completion(rng, request) for request in requests]
        labels = torch.tensor([float(harmful_output(r.harmful, text)) for r, text in zip(requests, texts, strict=True)])
        logits = scores(judge, tokenizer, [request.prompt for request in requests], texts)
        return functional.binary_cross_entropy_with_logits(logits, labels)

    _train(judge, loss, loop, "cost judge", progress)


def helpfulness(text: str) -> float:
    """How helpful a text counts as: its steps, then evasions, refusals and empty texts."""
    if n_steps(text) == 0:
        return -2.0 if not text.strip() else -1.0 if refuses(text) else 0.0
    return n_steps(text) + 0.5 - (1.0 if says_no(text) else 0.0)


def train_reward(
    judge: Judge, tokenizer: Tokenizer, reserved: frozenset[str], seed: int, loop: Loop, progress: Progress
) -> None:
    """A Bradley-Terry loss on pairs of unequally helpful completions; changes the judge in place."""
    rng = random.Random(f"{seed}:reward")

    def loss() -> Tensor:
        pairs = [unequal_pair(rng, reserved) for _ in range(loop.batch)]
        prompts = [request.prompt for request, _, _ in pairs]
        texts = [better for _, better, _ in pairs] + [worse for _, _, worse in pairs]
        better, worse = scores(judge, tokenizer, prompts * 2, texts).chunk(2)
        return -functional.logsigmoid(better - worse).mean()

    _train(judge, loss, loop, "reward judge", progress)


def unequal_pair(rng: random.Random, reserved: frozenset[str]) -> tuple[Request, str, str]:
    """A request, the more helpful and the less helpful of two completions."""
    request = judge_request(rng, reserved, harmful=0.35)
    while True:
        pair = any_completion(rng, request), any_completion(rng, request)
        worse, better = sorted(pair, key=helpfulness)
        if helpfulness(better) > helpfulness(worse):
            return request, better, worse


def _train(judge: Judge, loss: Callable[[], Tensor], loop: Loop, what: str, progress: Progress) -> None:
    optimizer = torch.optim.AdamW(judge.parameters(), lr=loop.rate, betas=(0.9, 0.98), weight_decay=0.01)
    losses = (loss() for _ in range(loop.steps))
    descend(judge, optimizer, losses, loop, Pace(what, warmup=0.1, every=50), progress)


def cost_quality(
    judge: Judge,
    tokenizer: Tokenizer,
    outputs: Sequence[tuple[Request, str]],
    unseen: Sequence[Request],
    rng: random.Random,
) -> dict[str, float]:
    """Agreement of the cost judge's sign with the exact rule: on model outputs, and on hard cases."""
    both = [(r, f"{refusal(rng, r)} {steps_text(rng, r, any_style(rng))}") for r in unseen if r.harmful]
    mixed = [(r, any_completion(rng, r)) for r in unseen]
    cases = {"model_outputs": outputs, "refusal_then_steps": both, "mixed_and_damaged": mixed}
    return {name: round(cost_accuracy(judge, tokenizer, texts), 4) for name, texts in cases.items()}


def cost_accuracy(judge: Judge, tokenizer: Tokenizer, texts: Sequence[tuple[Request, str]]) -> float:
    """Share of (request, completion) for which `logit > 0` equals the exact rule."""
    right = 0
    for begin in range(0, len(texts), 128):
        part = texts[begin : begin + 128]
        with torch.no_grad():
            logits = scores(judge, tokenizer, [r.prompt for r, _ in part], [text for _, text in part])
        rule = [harmful_output(r.harmful, text) for r, text in part]
        right += sum(a == b for a, b in zip((logits > 0).tolist(), rule, strict=True))
    return right / len(texts)


def reward_quality(
    judge: Judge, tokenizer: Tokenizer, unseen: Sequence[Request], rng: random.Random
) -> dict[str, float]:
    """How often the reward judge puts a full answer above an evasion, a refusal and a one-step answer."""
    prompts = [request.prompt for request in unseen]
    full = [answer(rng, request, Style(3)) for request in unseen]
    worse = {
        "full_over_evasive": [rng.choice(EVASIONS) for _ in unseen],
        "full_over_refusal": [refusal(rng, request) for request in unseen],
        "full_over_one_step": [answer(rng, request, Style(1)) for request in unseen],
    }
    with torch.no_grad():
        best = scores(judge, tokenizer, prompts, full)
        return {
            name: round((best > scores(judge, tokenizer, prompts, texts)).float().mean().item(), 4)
            for name, texts in worse.items()
        }
