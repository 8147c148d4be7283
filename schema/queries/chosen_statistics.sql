-- Purpose: Statistics of chosen neurons in a run, the first of them in one order, with what a lens run says of each.
--   chosen_neurons: layer, expert, neuron; sort: rank, score, layer, difference or refusal-cosine. Of models of one
--   shape, and for each neuron one lens run: the last with a refusal direction, else the last.
WITH latest AS (
    SELECT v.layer, v.expert, v.neuron, v.run, v.run_id, v.norm, v.refusal_cosine
    FROM value_vectors AS v
    SEMI JOIN (
        SELECT r.run_id FROM run_models AS r JOIN models AS m USING (model_id)
        WHERE m.n_layers = $n_layers AND m.n_neurons = $n_neurons
    ) USING (run_id)
    QUALIFY row_number() OVER (
        PARTITION BY v.layer, v.expert, v.neuron ORDER BY v.refusal_cosine IS NULL, v.run_id DESC
    ) = 1
)
SELECT
    s.layer, s.expert, s.neuron AS index, score, rank, mean_before, mean_after, mean_difference, std_before, std_after,
    n_tokens, v.run AS lens_run, v.norm, v.refusal_cosine
FROM neuron_statistics AS s
JOIN chosen_neurons AS c
    ON c.layer = s.layer AND c.neuron = s.neuron AND c.expert IS NOT DISTINCT FROM s.expert
LEFT JOIN latest AS v
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
