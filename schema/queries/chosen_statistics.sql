-- Purpose: Statistics of chosen neurons in a run, the first of them in one order, with what a lens run says of each.
--   chosen_neurons: layer, expert, neuron; sort: rank, score, layer, difference or refusal-cosine. Of models of one
--   shape, and for each neuron one lens run: the last with a refusal direction, else the last.
SELECT
    s.layer, s.expert, s.neuron AS index, score, rank, mean_before, mean_after, mean_difference, std_before, std_after,
    n_tokens, v.run AS lens_run, v.norm, v.refusal_cosine
FROM neuron_statistics AS s
JOIN chosen_neurons AS c
    ON c.layer = s.layer AND c.neuron = s.neuron AND c.expert IS NOT DISTINCT FROM s.expert
LEFT JOIN latest_vectors($n_layers, $n_neurons) AS v
    ON v.layer = s.layer AND v.neuron = s.neuron AND v.expert IS NOT DISTINCT FROM s.expert
WHERE s.run_id = $run_id
ORDER BY
    CASE $sort
        WHEN 'rank' THEN rank
        WHEN 'score' THEN -score
        WHEN 'difference' THEN -abs(mean_difference)
        WHEN 'refusal-cosine' THEN -refusal_cosine
    END NULLS LAST,
    s.layer, s.expert, index
LIMIT $limit
