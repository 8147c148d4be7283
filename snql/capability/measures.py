"""What logits say of a text, in double precision from log-softmax, a few positions at a time."""

from collections.abc import Sequence

import torch

_POSITIONS = 128
"""A vocabulary of 128,000 in double precision takes 1 MB a position."""


def token_nlls(logits: torch.Tensor, ids: Sequence[int]) -> list[float]:
    """Negative log-likelihood of each token, in nats. logits: Float[Tensor, "tokens vocabulary"], before each token."""
    wanted = torch.tensor(ids, device=logits.device)
    found: list[float] = []
    for part, tokens in zip(torch.split(logits, _POSITIONS), torch.split(wanted, _POSITIONS), strict=True):
        log_probabilities = torch.log_softmax(part.double(), dim=-1)
        found += (-log_probabilities.gather(-1, tokens[:, None])[:, 0]).tolist()
    return found


def is_greedy(logits: torch.Tensor, ids: Sequence[int]) -> bool:
    """Whether each token is the most likely one, of equally likely ones the first."""
    return bool((logits.argmax(dim=-1) == torch.tensor(ids, device=logits.device)).all())


def divergence(donor: torch.Tensor, other: torch.Tensor) -> tuple[list[float], list[bool]]:
    """At each position KL(donor || other) in nats, and whether both find the same token most likely.

    donor, other: logits, Float[Tensor, "positions vocabulary"].
    """
    kls: list[float] = []
    pairs = zip(torch.split(donor, _POSITIONS), torch.split(other.to(donor.device), _POSITIONS), strict=True)
    for ours, theirs in pairs:
        p = torch.log_softmax(ours.double(), dim=-1)
        q = torch.log_softmax(theirs.double(), dim=-1)
        kls += torch.kl_div(q, p, log_target=True).sum(dim=-1).tolist()
    agrees: list[bool] = (donor.argmax(dim=-1) == other.argmax(dim=-1).to(donor.device)).tolist()
    return kls, agrees
