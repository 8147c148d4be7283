-- Purpose: How many neurons have a score that their sums per prompt, in single precision, do not give.
WITH pooled AS (
    SELECT layer, coalesce(expert, -1) AS expert, neuron,
        sqrt(sum(squared_differences) / sum(n_tokens)) AS score
    FROM prompt_sums WHERE run_id = $run_id GROUP BY ALL
)
SELECT count(*) FROM pooled AS p
JOIN neuron_statistics AS s
    ON s.run_id = $run_id AND s.layer = p.layer AND coalesce(s.expert, -1) = p.expert AND s.neuron = p.neuron
WHERE abs(p.score - s.score) > 1e-5 * s.score
