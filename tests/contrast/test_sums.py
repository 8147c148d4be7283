"""Streaming sums against numpy over all values at once."""

import numpy as np
import pytest
import torch

from snql.contrast import sums as module
from snql.contrast.sums import ContrastSums
from snql.errors import RunError


def values(seed: int, n_tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    # A large common offset: naive sums of squares would lose the standard deviation.
    return tuple(1e4 + torch.randn(2, n_tokens, 5, generator=generator, dtype=torch.float64))


def assert_sums(sums: ContrastSums, before: np.ndarray, after: np.ndarray) -> None:
    found = sums.cpu().statistics()
    np.testing.assert_allclose(found.change_scores[0], np.sqrt(((before - after) ** 2).mean(axis=0)), rtol=1e-12)
    np.testing.assert_allclose(found.mean_differences[0], (after - before).mean(axis=0), rtol=1e-9)
    for mean, std, all_values in (
        (found.mean_before, found.std_before, before),
        (found.mean_after, found.std_after, after),
    ):
        np.testing.assert_allclose(mean[0], all_values.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(std[0], all_values.std(axis=0, ddof=1), rtol=1e-9)
    assert (found.count == len(before)).all()


@pytest.mark.parametrize("block", [1, 16, 4096])
def test_batches_of_any_size_add_up(monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    monkeypatch.setattr(module, "_BLOCK", {"cpu": block})
    before, after = values(0, 101)
    sums = ContrastSums(1, 5)
    for part in (slice(0, 1), slice(1, 1), slice(1, 40), slice(40, 101)):
        sums.add(0, before[part], after[part])
    assert_sums(sums, before.numpy(), after.numpy())


def test_values_stay_as_they_are() -> None:
    before, after = values(8, 9)
    copies = before.clone(), after.clone()
    ContrastSums(1, 5).add(0, before, after)
    assert torch.equal(before, copies[0])
    assert torch.equal(after, copies[1])


def test_sums_of_several_workers_merge() -> None:
    before, after = values(1, 60)
    left, right = ContrastSums(1, 5), ContrastSums(1, 5)
    left.add(0, before[:13], after[:13])
    right.add(0, before[13:], after[13:])
    left.merge(right)
    assert_sums(left, before.numpy(), after.numpy())


def test_merging_in_another_order_changes_nothing_that_matters() -> None:
    parts = [ContrastSums(2, 5) for _ in range(7)]
    for seed, part in enumerate(parts):
        for layer in range(2):
            part.add(layer, *values(10 * seed + layer, 3 + seed))
    one, other = ContrastSums(2, 5), ContrastSums(2, 5)
    for part in parts:
        one.merge(part)
    for part in reversed(parts):
        other.merge(part)
    np.testing.assert_allclose(one.statistics().change_scores, other.statistics().change_scores, rtol=1e-12)


def test_state_restores_bit_for_bit_and_shares_nothing() -> None:
    sums = ContrastSums(2, 5)
    sums.add(0, *values(5, 30))
    sums.add(1, *values(6, 31))
    restored = ContrastSums.restored(sums.state())
    restored_state = {name: array.copy() for name, array in restored.state().items()}
    sums.add(0, *values(7, 4))
    restored.add(0, *values(7, 4))
    for name, array in sums.state().items():
        assert np.array_equal(array, restored.state()[name]), name
    assert not np.array_equal(restored_state["differences"], restored.state()["differences"])


def test_one_token_has_no_standard_deviation_and_none_no_score() -> None:
    sums = ContrastSums(2, 5)
    sums.add(0, *values(2, 1))
    assert np.isnan(sums.statistics().std_before).all()
    assert np.isfinite(sums.statistics().change_scores[0]).all()
    assert np.isnan(sums.statistics().change_scores[1]).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_activations_that_are_not_finite_are_refused(bad: float) -> None:
    before, after = values(3, 4)
    after[2, 3] = bad
    sums = ContrastSums(3, 5)
    sums.add(1, before, after)
    with pytest.raises(RunError, match="activations of layer 1 are not finite"):
        sums.cpu()


def test_tokens_that_were_not_routed_do_not_count() -> None:
    before, after = values(4, 50)
    generator = torch.Generator().manual_seed(9)
    reached_b, reached_a = (torch.rand(50, 5, generator=generator) < 0.6 for _ in range(2))
    reached_b[:, 4] = False
    before, after = before.where(reached_b, torch.nan), after.where(reached_a, torch.nan)
    sums = ContrastSums(1, 5)
    for part in (slice(0, 7), slice(7, 50)):
        sums.add(0, before[part], after[part], routed=True)
    both = (reached_b & reached_a).numpy()
    found = sums.cpu().statistics()
    assert found.count[0].tolist() == both.sum(axis=0).tolist()
    for neuron in range(4):
        b, a = before.numpy()[both[:, neuron], neuron], after.numpy()[both[:, neuron], neuron]
        np.testing.assert_allclose(found.change_scores[0, neuron], np.sqrt(((b - a) ** 2).mean()), rtol=1e-12)
        np.testing.assert_allclose(found.std_before[0, neuron], b.std(ddof=1), rtol=1e-9)
    assert np.isnan(found.change_scores[0, 4])
    sums.add(0, before, after)
    with pytest.raises(RunError):
        sums.cpu()
