"""Guards of the tiny Llama, with numbers drawn at random."""

from collections.abc import Callable

import numpy as np
import pytest

from snql.guard.model import Guard, Linear, Template
from snql.neurons.sets import NeuronSet, Shape

TINY = Shape(3, 40)


def made(shape: Shape = TINY, n_neurons: int = 12, seed: int = 0, threshold: float = 0.5) -> Guard:
    """A guard with random neurons and numbers; its probabilities are spread."""
    generator = np.random.default_rng(seed)
    ids = np.sort(generator.choice(shape.size, n_neurons, replace=False)).astype(np.int64)
    linear = Linear(
        generator.normal(0, 2, n_neurons),
        generator.normal(0, 0.1, n_neurons),
        generator.uniform(0.5, 2, n_neurons),
        float(generator.normal()),
    )
    words = Template("tulu", system="Be kind.")
    return Guard(NeuronSet(shape, ids), linear, "some/model", "hash", words, threshold, {"judge": "demo:cost"}, "0.1.0")


@pytest.fixture(scope="session")
def make() -> Callable[..., Guard]:
    return made
