"""Neurons, sets of them, and the expression language that names sets."""

from snql.neurons.sets import NeuronSet, Shape

__all__ = ["NeuronSet", "Shape"]
