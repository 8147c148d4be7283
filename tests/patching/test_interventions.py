"""What chosen neurons become, computed on given activations."""

import torch

from snql.neurons.sets import NeuronSet, Shape
from snql.patching.interventions import Computed, Noise, PatchedRow

SHAPE = Shape(2, 4)


def test_noise_reaches_the_members_of_a_layer_alone() -> None:
    """A set without members there, and a row that is not patched, stay as they are."""
    sets = [NeuronSet.of(SHAPE, [(0, None, 1)]), NeuronSet.of(SHAPE, [(1, None, 2)])]
    noise = Noise(torch.ones(2, 4), 1.0, 0, [members.by_layer() for members in sets])
    own = torch.arange(24.0).reshape(3, 2, 4)
    rows = [PatchedRow(index, 0, 2, range(2), "key", 0) for index in (0, 1)]
    changed = noise.values(Computed(0, own, None, [*rows, None])) != own
    expected = torch.zeros(3, 2, 4, dtype=torch.bool)
    expected[0, :, 1] = True
    assert torch.equal(changed, expected)
