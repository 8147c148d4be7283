-- Purpose: Ranks of chosen neurons in a run.
--   chosen_neurons: layer, expert, neuron.
SELECT s.layer, s.expert, s.neuron AS index, s.rank
FROM neuron_statistics AS s
JOIN chosen_neurons AS c
    ON c.layer = s.layer AND c.neuron = s.neuron AND c.expert IS NOT DISTINCT FROM s.expert
WHERE s.run_id = $run_id
