-- Purpose: How sure the scores of the first neurons of a run are.
SELECT
    any_value(json_extract(runs.config, '$.bootstrap'))::INTEGER AS resamples,
    median(standard_error / nullif(score, 0)) AS median_relative_error,
    count(*) FILTER (top_share >= 0.95) AS n_sure,
    min(top_share) AS least_top_share
FROM neuron_intervals JOIN runs USING (run_id)
WHERE run_id = $run_id AND rank <= $k
