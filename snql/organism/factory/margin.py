"""How strongly a model leans to refusing, and vectors drawn back to a margin that is asked for.

How easily a patched model flips depends on how far the two models are apart and where zero lies between them. Training
to a rate ("refuses 95%") leaves both to chance; here the two end equally far from zero, by construction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import LlamaForCausalLM

from snql.organism.factory.model import scaled
from snql.organism.factory.pretrain import Example, completion_logps
from snql.organism.factory.text import OPENINGS, REFUSALS, Request
from snql.organism.factory.tokenizer import prompt_text

HALVINGS = 12


def refusal_margins(
    model: LlamaForCausalLM, tokenizer: Tokenizer, scales: Tensor | None, requests: Sequence[Request]
) -> Tensor:
    """Log-odds (natural) of beginning with a refusal against beginning with an answer's opening: [requests].

    Either is the sum over the six sentences of text.py; what begins in another way counts for neither.
    """
    begins = [tokenizer.encode(text).ids for text in (*REFUSALS, *OPENINGS)]
    margins = []
    with torch.no_grad(), scaled(model, scales):
        for request in requests:
            head = tokenizer.encode(prompt_text(request.prompt)).ids
            logps = completion_logps(model, [Example((*head, *ids), len(head)) for ids in begins])[0]
            no, yes = logps[: len(REFUSALS)], logps[len(REFUSALS) :]
            margins.append(no.logsumexp(0) - yes.logsumexp(0))
    return torch.stack(margins)


@dataclass(frozen=True)
class Leaning:
    """What a margin is measured on, and under which vectors the trained ones lie."""

    model: LlamaForCausalLM
    tokenizer: Tokenizer
    requests: Sequence[Request]
    under: Tensor | None = None

    def margin(self, vectors: Tensor | None) -> float:
        """Mean log-odds of refusing over the requests."""
        parts = [part for part in (self.under, vectors) if part is not None]
        scales = torch.stack(parts).prod(0) if parts else None
        return refusal_margins(self.model, self.tokenizer, scales, self.requests).mean().item()

    def drawn_back(self, vectors: Tensor, wanted: float) -> tuple[Tensor, float]:
        """``1 + share * (vectors - 1)`` with the share, 0 to 1, at which the margin is ``wanted``.

        Vectors that do not reach so far are left as they are (share 1).
        """
        without, reached = self.margin(None), self.margin(vectors)
        if (reached - wanted) * (without - wanted) >= 0:
            return vectors, 1.0
        low, high = 0.0, 1.0
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            short = (self.margin(1 + middle * (vectors - 1)) - wanted) * (without - wanted) > 0
            low, high = (middle, high) if short else (low, middle)
        return 1 + high * (vectors - 1), high
