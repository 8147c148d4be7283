-- Purpose: A neuron's value vector in all lens runs of models of one shape.
WITH listed AS (
    SELECT run_id,
        list(token ORDER BY place) FILTER (effect = 'promotes') AS promotes,
        list(token ORDER BY place) FILTER (effect = 'suppresses') AS suppresses
    FROM value_tokens
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
    GROUP BY run_id
)
SELECT v.run, v.model, v.norm, v.refusal_cosine, v.refusal_percentile, v.chance_deviation, v.direction_layer,
    v.n_harmful, v.n_harmless, t.promotes, t.suppresses
FROM value_vectors AS v
JOIN listed AS t USING (run_id)
SEMI JOIN (
    SELECT r.run_id FROM run_models AS r JOIN models AS m USING (model_id)
    WHERE m.n_layers = $n_layers AND m.n_neurons = $n_neurons
) USING (run_id)
WHERE v.layer = $layer AND v.neuron = $neuron AND v.expert IS NOT DISTINCT FROM $expert
ORDER BY v.run
