"""Streaming sums against numpy over all values at once."""

import numpy as np
import pytest
import torch

from snql.contrast.sums import ContrastSums
from snql.errors import RunError


def values(seed: int, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # A large common offset: naive sums of squares would lose the standard deviation.
    return tuple(1e4 + torch.randn(2, n_tokens, 5, generator=generator, dtype=torch.float64))


def assert_sums(sums: ContrastSums, before: np.ndarray, after: np.ndarray) -> None:
    np.testing.assert_allclose(sums.change_scores()[0], np.sqrt(((before - after) ** 2).mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(sums.before.mean[0], before.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(sums.before.std()[0], before.std(axis=0, ddof=1), rtol=1e-9)
    np.testing.assert_allclose(sums.after.std()[0], after.std(axis=0, ddof=1), rtol=1e-9)
    assert (sums.n_tokens == len(before)).all()


def test_batches_of_any_size_add_up() -> None:
    before, after = values(0, 101)
    sums = ContrastSums.empty(1, 5)
    for part in (slice(0, 1), slice(1, 1), slice(1, 40), slice(40, 101)):
        sums.add(0, before[part], after[part])
    assert_sums(sums, before.numpy(), after.numpy())


def test_shards_merge() -> None:
    before, after = values(1, 60)
    left, right = ContrastSums.empty(1, 5), ContrastSums.empty(1, 5)
    left.add(0, before[:13], after[:13])
    right.add(0, before[13:], after[13:])
    left.merge(right)
    assert_sums(left, before.numpy(), after.numpy())


def test_one_token_has_no_standard_deviation() -> None:
    sums = ContrastSums.empty(1, 5)
    sums.add(0, *values(2, 1))
    assert np.isnan(sums.before.std()).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_refused(bad: float) -> None:
    before, after = values(3, 4)
    after[2, 3] = bad
    with pytest.raises(RunError, match="activations of layer 0 are not finite"):
        ContrastSums.empty(1, 5).add(0, before, after)


def test_tokens_that_were_not_routed_do_not_count() -> None:
    before, after = values(4, 50)
    generator = torch.Generator().manual_seed(9)
    reached_b, reached_a = (torch.rand(50, 5, generator=generator) < 0.6 for _ in range(2))
    reached_b[:, 4] = False
    before, after = before.where(reached_b, torch.nan), after.where(reached_a, torch.nan)
    sums = ContrastSums.empty(1, 5)
    for part in (slice(0, 7), slice(7, 50)):
        sums.add(0, before[part], after[part], routed=True)
    both = (reached_b & reached_a).numpy()
    assert sums.n_tokens[0].tolist() == both.sum(axis=0).tolist()
    for neuron in range(4):
        b, a = before.numpy()[both[:, neuron], neuron], after.numpy()[both[:, neuron], neuron]
        np.testing.assert_allclose(sums.change_scores()[0, neuron], np.sqrt(((b - a) ** 2).mean()), rtol=1e-12)
        np.testing.assert_allclose(sums.before.std()[0, neuron], b.std(ddof=1), rtol=1e-9)
    assert np.isnan(sums.change_scores()[0, 4])
    with pytest.raises(RunError):
        sums.add(0, before, after)
