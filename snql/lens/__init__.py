"""The lens: which tokens a neuron's value vector promotes, and how it lies to the refusal direction."""
