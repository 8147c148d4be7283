-- Purpose: The neurons of a set that a locate run ranks highest.
--   chosen_neurons: layer, expert, neuron.
SELECT
    neuron_name(s.layer, s.expert, s.neuron) AS name, s.rank, s.score, s.mean_before, s.std_before, s.mean_after,
    s.std_after, s.mean_difference
FROM neuron_statistics AS s
JOIN chosen_neurons AS m
    ON m.layer = s.layer AND m.neuron = s.neuron AND m.expert IS NOT DISTINCT FROM s.expert
WHERE s.run_id = $run_id
ORDER BY s.rank NULLS LAST, s.layer, s.expert, s.neuron
LIMIT $limit
