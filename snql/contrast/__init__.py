"""Generation-time activation contrasting: where two models differ, neuron by neuron."""
