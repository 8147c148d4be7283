"""Choosing the next token: the most likely one, or one drawn with temperature and nucleus (top-p) sampling."""

import hashlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from snql.errors import RunError
from snql.generation.options import SamplingOptions
from snql.generation.rules import NO_LIMIT, Repetition


def choose(
    sampling: SamplingOptions,
    logits: torch.Tensor,
    rows: Sequence[int],
    numbers: Sequence[float],
    repetition: Repetition = NO_LIMIT,
    texts: Sequence[Sequence[int]] = (),
) -> list[int]:
    """The next tokens of these rows; a row may be asked several times, each time with its own random number.

    logits: Float[Tensor, "rows vocabulary"]; numbers: in [0, 1), of no meaning when greedy; texts: token ids so far,
    one for each of ``rows``, where ``repetition`` asks for them. Raises RunError if logits are not finite.
    """
    check_finite(logits)
    if not repetition.off:
        logits = repetition.adjusted(logits[torch.tensor(rows, device=logits.device)], texts)
        rows = range(len(rows))
    if sampling.greedy:
        best = logits.argmax(dim=-1).tolist()
        return [best[row] for row in rows]
    asked = logits[torch.tensor(rows, device=logits.device)]
    return _inverse(asked, sampling.temperature, sampling.top_p, numbers).tolist()


def _inverse(logits: torch.Tensor, temperature: float, top_p: float, numbers: Sequence[float]) -> torch.Tensor:
    """Where each number falls in its row's distribution, most likely tokens first: Int[Tensor, "rows"]."""
    probabilities, tokens = torch.softmax(logits.double() / temperature, dim=-1).sort(
        dim=-1, descending=True, stable=True
    )
    total = probabilities.cumsum(dim=-1)
    # A token is in the nucleus unless those before it have the probability already: the first one always is.
    kept = torch.where(total - probabilities < top_p, probabilities, 0).cumsum(dim=-1)
    points = torch.tensor(numbers, dtype=kept.dtype, device=kept.device)[:, None] * kept[:, -1:]
    last = (kept < kept[:, -1:]).sum(dim=-1, keepdim=True)
    places = torch.minimum(torch.searchsorted(kept, points, right=True), last)
    return tokens.gather(-1, places)[:, 0]


def random_numbers(seed: int, key: str, sample: int, n: int) -> npt.NDArray[np.float64]:
    """The random numbers of one sample of one prompt, a number for each token: uniform in [0, 1).

    key: the prompt. Every variant of a prompt gets the same ones, so that two that have the same probabilities write
    the same, and differences between variants are paired.
    """
    return row_generator(seed, key, sample).random(n)


def row_generator(seed: int, key: str, *numbers: int) -> np.random.Generator:
    """A generator of its own for a prompt and whatever else the numbers name; it does not depend on the batch."""
    digest = int.from_bytes(hashlib.sha256(key.encode()).digest()[:16], "big")
    return np.random.default_rng([seed, digest, *numbers])


def check_finite(logits: torch.Tensor) -> None:
    """Raise RunError if a logit is NaN or infinite."""
    if not bool(torch.isfinite(logits.sum())) and not bool(torch.isfinite(logits).all()):
        raise RunError("the model's logits are not finite: its weights or this dtype are unsound; try `dtype` float32")
