-- Purpose: The first neurons of some runs.
SELECT
    run_id, layer, expert, neuron, rank, score, mean_before, std_before, mean_after, std_after, mean_difference
FROM neuron_scores WHERE run_id IN (SELECT unnest($runs::INTEGER[])) AND rank <= $most
ORDER BY run_id, rank
