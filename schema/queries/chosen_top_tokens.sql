-- Purpose: The tokens where chosen neurons are largest in size, each token of a neuron once.
--   chosen_neurons: layer, expert, neuron; stored: their token activations in the run; measure: after, before, change.
WITH measured AS (
    SELECT
        a.layer, a.expert, a.neuron, t.token_id, t.token, a.before, a.after,
        CASE $measure WHEN 'after' THEN after WHEN 'before' THEN before ELSE after - before END AS value
    FROM stored AS a
    JOIN chosen_neurons AS c
        ON c.layer = a.layer AND c.neuron = a.neuron AND c.expert IS NOT DISTINCT FROM a.expert
    JOIN scored_tokens AS t USING (token_index)
    WHERE t.run_id = $run_id
),
peaks AS (
    SELECT
        layer, expert, neuron, token_id,
        arg_max(struct_pack(token := token, before := before, after := after, value := value), abs(value)) AS peak
    FROM measured GROUP BY layer, expert, neuron, token_id
),
best AS (
    SELECT * FROM peaks
    QUALIFY row_number() OVER (
        PARTITION BY layer, expert, neuron ORDER BY abs(peak.value) DESC, token_id
    ) <= $n_tokens
)
SELECT layer, expert, neuron AS index, list(peak ORDER BY abs(peak.value) DESC, token_id) AS tokens
FROM best GROUP BY layer, expert, neuron
