"""Sets of neurons: algebra against Python's sets, and random sets that match."""

import itertools

import numpy as np
import pytest

from snql.errors import InputError
from snql.neurons.sets import NeuronSet, Shape, neuron_name

SHAPE = Shape(3, 20)
A = {(0, 1), (0, 2), (1, 5), (2, 19)}
B = {(0, 2), (1, 5), (1, 6)}


def members(neurons: NeuronSet) -> set[tuple[int, int]]:
    return set(zip(neurons.layers.tolist(), neurons.neurons.tolist(), strict=True))


def test_algebra_is_that_of_sets() -> None:
    a, b = NeuronSet.of(SHAPE, A), NeuronSet.of(SHAPE, B)
    assert members(a & b) == A & B
    assert members(a | b) == A | B
    assert members(a - b) == A - B
    assert len(NeuronSet.all(SHAPE)) == 60
    assert NeuronSet.of(SHAPE, [(1, 5), (1, 5)]) == NeuronSet.of(SHAPE, [(1, 5)])
    assert {layer: list(found) for layer, found in a.by_layer().items()} == {0: [1, 2], 1: [5], 2: [19]}


def test_identity_is_that_of_members_and_shape() -> None:
    assert NeuronSet.of(SHAPE, A).sha256 == NeuronSet.of(SHAPE, sorted(A)).sha256
    assert NeuronSet.of(SHAPE, A).sha256 != NeuronSet.of(SHAPE, B).sha256
    assert NeuronSet.of(Shape(3, 21), [(0, 1)]).sha256 != NeuronSet.of(SHAPE, [(0, 1)]).sha256


@pytest.mark.parametrize("bad", [(3, 0), (0, 20), (-1, 0)])
def test_neurons_that_do_not_exist(bad: tuple[int, int]) -> None:
    with pytest.raises(InputError, match=r"the model has 3x20 neurons"):
        NeuronSet.of(SHAPE, [bad])


def test_random_sets_match_layer_by_layer_and_are_disjoint() -> None:
    chosen = NeuronSet.of(SHAPE, A)
    draws = [chosen.matched_random(seed) for seed in range(30)]
    for drawn in draws:
        assert not members(drawn) & A
        assert np.bincount(drawn.layers, minlength=3).tolist() == [2, 1, 1]
    assert chosen.matched_random(7) == chosen.matched_random(7)
    assert any(a != b for a, b in itertools.pairwise(draws))


def test_sets_matched_in_magnitude_have_as_many_of_each_twentieth_of_a_layer() -> None:
    shape, generator = Shape(3, 400), np.random.default_rng(2)
    sizes = generator.lognormal(sigma=0.4, size=shape.size)
    chosen = NeuronSet.from_ids(shape, np.argsort(-sizes * generator.lognormal(sigma=0.4, size=shape.size))[:60])
    draws = [chosen.magnitude_matched(sizes, seed) for seed in range(20)]
    ranks = np.argsort(np.argsort(sizes.reshape(3, 400), axis=1), axis=1) // 20
    parts = (ranks + 20 * np.arange(3)[:, None]).ravel()
    others = 20 - np.bincount(parts[chosen.ids], minlength=60)
    for drawn in draws:
        assert len(drawn) == 60 and not len(drawn & chosen)
        assert np.array_equal(np.bincount(drawn.layers, minlength=3), np.bincount(chosen.layers, minlength=3))
        wanted, found = (np.bincount(parts[each.ids], minlength=60) for each in (chosen, drawn))
        assert np.all((found >= wanted) | (found == others)), "as many of a part as it has"
        assert 0.75 < chosen.relative_size(drawn, sizes) < 1.25
    plain = [chosen.relative_size(chosen.matched_random(seed), sizes) for seed in range(20)]
    assert max(plain) < 0.75, "those that are matched by layer alone are smaller"
    assert draws[3] == chosen.magnitude_matched(sizes, 3) != draws[4]


def test_where_a_part_of_a_layer_is_used_up_those_nearest_in_size_stand_in() -> None:
    shape, sizes = Shape(1, 400), np.arange(400.0)
    chosen = NeuronSet.from_ids(shape, np.arange(365, 400))  # 15 of the 20 below the last 20, and these
    drawn = chosen.magnitude_matched(sizes, 1)
    assert len(drawn) == 35 and {365 - each for each in range(1, 6)} <= set(drawn.ids.tolist())
    assert drawn.ids.min() >= 320, "the next two parts down have the other 30"
    nothing = NeuronSet.from_ids(shape, np.arange(3)).magnitude_matched(np.full(400, np.nan), 1)
    assert len(nothing) == 3
    with pytest.raises(InputError, match="more than half"):
        NeuronSet.from_ids(shape, np.arange(201)).magnitude_matched(sizes, 1)


def test_every_other_neuron_can_be_drawn() -> None:
    chosen = NeuronSet.of(SHAPE, [(1, 5)])
    drawn = {next(iter(members(chosen.matched_random(seed)))) for seed in range(400)}
    assert drawn == {(1, neuron) for neuron in range(20) if neuron != 5}


def test_layers_are_drawn_apart() -> None:
    """Each layer has columns of its own: the same ones everywhere would be one draw and not three."""
    chosen = NeuronSet.of(Shape(3, 400), [(layer, neuron) for layer in range(3) for neuron in range(20)])
    drawn = chosen.matched_random(3).by_layer()
    assert all(set(a.tolist()) != set(b.tolist()) for a, b in itertools.combinations(drawn.values(), 2))


def test_a_set_of_exactly_half_a_layer_has_its_other_half() -> None:
    chosen = NeuronSet.of(SHAPE, [(1, neuron) for neuron in range(10)])
    drawn = chosen.matched_random(5)
    assert members(drawn) == {(1, neuron) for neuron in range(10, 20)}
    assert chosen.share_matched(drawn) == 1


def test_more_than_half_of_a_layer_is_matched_as_far_as_it_goes() -> None:
    """The rest is from the layers nearest in depth, the earlier one of two first."""
    shape = Shape(5, 20)
    chosen = NeuronSet.of(shape, [(3, neuron) for neuron in range(17)] + [(2, neuron) for neuron in range(5)])
    draws = [chosen.matched_random(seed) for seed in range(30)]
    for drawn in draws:
        assert not members(drawn) & members(chosen)
        assert np.bincount(drawn.layers, minlength=5).tolist() == [0, 0, 15, 3, 4]
        assert chosen.share_matched(drawn) == pytest.approx(8 / 22)
    assert chosen.matched_random(7) == chosen.matched_random(7)
    assert {neuron for drawn in draws for layer, neuron in members(drawn) if layer == 4} == set(range(20))


def test_no_disjoint_set_of_more_than_half_the_model() -> None:
    chosen = NeuronSet.of(SHAPE, [(layer, neuron) for layer in range(3) for neuron in range(10)])
    assert members(chosen.matched_random(0)) == {(layer, neuron) for layer in range(3) for neuron in range(10, 20)}
    more = chosen | NeuronSet.of(SHAPE, [(0, 10)])
    for draw in (more.matched_random, more.random_anywhere):
        with pytest.raises(InputError, match="no disjoint random set: the set has 31 of 60 neurons, more than half"):
            draw(0)


def test_names() -> None:
    assert neuron_name(12, 345) == "L12.N345"


def test_experts_are_a_third_coordinate() -> None:
    shape = Shape(2, 12, 3)
    chosen = NeuronSet.of(shape, [(0, 2, 1), (1, 0, 3), (1, 2, 0)])
    assert chosen.ids.tolist() == [9, 15, 20]
    assert chosen.experts is not None
    assert (chosen.layers.tolist(), chosen.experts.tolist(), chosen.neurons.tolist()) == (
        [0, 1, 1],
        [2, 0, 2],
        [1, 3, 0],
    )
    assert {layer: list(columns) for layer, columns in chosen.by_layer().items()} == {0: [9], 1: [3, 8]}
    assert neuron_name(1, 3, expert=0) == "L1.E0.N3"
    for bad in ((0, 1), (0, 3, 0), (0, 0, 4)):
        with pytest.raises(InputError, match="the model has 2x3x4 neurons .layers x experts x neurons."):
            NeuronSet.of(shape, [bad])
    with pytest.raises(InputError, match="no L0.E1.N0"):
        NeuronSet.of(SHAPE, [(0, 1, 0)])
