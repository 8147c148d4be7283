-- Purpose: the k highest-ranked neurons of a locate run.
-- Grain:   one row per neuron, best first.
-- Example: FROM top_neurons('safety', 20)
CREATE OR REPLACE MACRO top_neurons(run_name, k) AS TABLE
SELECT layer, expert, neuron, score, rank, mean_before, mean_after, std_before, std_after, n_tokens
FROM neuron_scores
WHERE run = run_name AND rank <= k
ORDER BY rank;
