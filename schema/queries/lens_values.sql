-- Purpose: What a lens run says of neurons, or, with no run named, the last one of each neuron, in models of one shape.
SELECT layer, expert, neuron, norm, refusal_cosine, refusal_percentile
FROM latest_vectors($n_layers, $n_neurons, run_name := $run)
