"""Drawn tokens: against the distribution that they should have, and against a plain computation."""

import numpy as np
import pytest
import torch

from snql.errors import InputError, RunError
from snql.generation.options import SamplingOptions
from snql.generation.sampling import choose, random_numbers, row_generator


def nucleus(logits: torch.Tensor, temperature: float, top_p: float) -> torch.Tensor:
    """The probabilities that are drawn from, token by token in plain Python."""
    probabilities = torch.softmax(logits.double() / temperature, dim=-1).tolist()
    order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])
    kept, total = [0.0] * len(probabilities), 0.0
    for token in order:
        if total >= top_p:
            break
        kept[token] = probabilities[token]
        total += probabilities[token]
    return torch.tensor(kept, dtype=torch.float64) / sum(kept)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9), (2.0, 0.5), (1.0, 1e-9)])
def test_frequencies_are_those_of_the_nucleus(temperature: float, top_p: float) -> None:
    logits = torch.randn(1, 12, generator=torch.Generator().manual_seed(1)) * 2
    n = 20_000
    numbers = (np.arange(n) + 0.5) / n  # evenly spread, so that shares are exact but for one number at each border
    tokens = choose(SamplingOptions(temperature=temperature, top_p=top_p), logits, [0] * n, numbers.tolist())
    shares = torch.bincount(torch.tensor(tokens), minlength=12).double() / n
    torch.testing.assert_close(shares, nucleus(logits[0], temperature, top_p), atol=1.5 / n, rtol=0)


def test_the_ends_of_the_range_stay_in_the_nucleus() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0, -50.0]])
    found = choose(SamplingOptions(temperature=1.0, top_p=0.99), logits, [0, 0], [0.0, np.nextafter(1.0, 0.0)])
    assert found == [1, 0]  # the most likely token, and the least likely one of the nucleus


def test_greedy_ignores_numbers_and_rows_can_be_asked_twice() -> None:
    logits = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    assert choose(SamplingOptions(), logits, [1, 0, 1], [0.9, 0.9, 0.1]) == [0, 1, 0]


def test_logits_that_are_not_finite_are_refused() -> None:
    with pytest.raises(RunError, match="not finite"):
        choose(SamplingOptions(temperature=1.0), torch.tensor([[0.0, float("nan")]]), [0], [0.5])


def test_random_numbers_depend_on_seed_prompt_and_sample_alone() -> None:
    first = random_numbers(1, "prompt", 0, 8)
    assert (random_numbers(1, "prompt", 0, 4) == first[:4]).all()
    others = [random_numbers(2, "prompt", 0, 8), random_numbers(1, "other", 0, 8), random_numbers(1, "prompt", 1, 8)]
    assert all((first != other).all() for other in others)
    assert row_generator(1, "p", 0, 3).random() != row_generator(1, "p", 0, 4).random()


@pytest.mark.parametrize(
    ("temperature", "top_p"),
    [(-0.1, 1.0), (1e-320, 1.0), (float("inf"), 1.0), (float("nan"), 1.0), (1.0, 0.0), (1.0, 1.1)],
)
def test_settings_out_of_range(temperature: float, top_p: float) -> None:
    with pytest.raises(InputError, match="is out of range"):
        SamplingOptions(temperature=temperature, top_p=top_p)
