-- Question: Which top neurons flip sign between before and after?
-- Grain:    one row per neuron whose mean activations have opposite signs, best rank first.
-- Parameters:
--   $run: a locate run
--   $percent = 5: how many of the ranked neurons are the top
--   $least = 0.1: the smaller of the two means, in its own standard deviations, is at least this
-- Caveats:  means are over tokens, which are not independent: size tells more than significance here.
WITH chosen AS (
    SELECT run_id, greatest(1, round($percent / 100 * n_ranked)) AS k FROM locate_runs WHERE run = $run
)
SELECT
    neuron_name(s.layer, s.expert, s.neuron) AS name,
    s.layer,
    s.expert,
    s.neuron,
    s.rank,
    s.mean_before,
    s.mean_after,
    s.std_before,
    s.std_after,
    least(abs(s.mean_before) / nullif(s.std_before, 0), abs(s.mean_after) / nullif(s.std_after, 0)) AS smaller_size,
    s.n_tokens
FROM neuron_scores AS s
JOIN chosen USING (run_id)
WHERE s.rank <= chosen.k AND s.mean_before * s.mean_after < 0 AND smaller_size >= $least
ORDER BY s.rank;
