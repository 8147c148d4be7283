-- Purpose: The first neurons of a run's ranking.
SELECT
    neuron_name(layer, expert, neuron) AS name, rank, score, mean_before, std_before, mean_after, std_after,
    mean_difference
FROM neuron_statistics
WHERE run_id = $run_id AND rank <= $limit
ORDER BY rank
