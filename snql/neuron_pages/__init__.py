"""Neurons to look at: a table of those that an expression names, and a page about one."""

from snql.neuron_pages.describe import describe_neuron
from snql.neuron_pages.model import NeuronPage, NeuronTable
from snql.neuron_pages.table import describe_neurons

__all__ = ["NeuronPage", "NeuronTable", "describe_neuron", "describe_neurons"]
