-- Purpose: The tokens that chosen neurons promote, in their order.
--   chosen_neurons: layer, expert, neuron, lens_run.
SELECT t.layer, t.expert, t.neuron AS index, list(t.token ORDER BY t.place) AS promotes
FROM value_tokens AS t
JOIN chosen_neurons AS c
    ON c.layer = t.layer AND c.neuron = t.neuron AND c.expert IS NOT DISTINCT FROM t.expert AND c.lens_run = t.run
WHERE t.effect = 'promotes'
GROUP BY t.layer, t.expert, t.neuron
