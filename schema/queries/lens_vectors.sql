-- Purpose: The value vectors of a lens run with their tokens, each end in its order.
WITH listed AS (
    SELECT run_id, layer, expert, neuron,
        list(token ORDER BY place) FILTER (effect = 'promotes') AS promotes,
        list(token ORDER BY place) FILTER (effect = 'suppresses') AS suppresses
    FROM value_tokens WHERE run = $run GROUP BY ALL
)
SELECT v.*, t.promotes, t.suppresses
FROM value_vectors AS v
LEFT JOIN listed AS t
    ON t.run_id = v.run_id AND t.layer = v.layer AND t.neuron = v.neuron
    AND t.expert IS NOT DISTINCT FROM v.expert
WHERE v.run = $run
ORDER BY v.layer, v.expert, v.neuron
