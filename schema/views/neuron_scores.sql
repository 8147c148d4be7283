-- Purpose: change scores and statistics of every neuron of every finished locate run.
-- Grain:   one row per run, layer, expert and neuron.
-- Units:   score is a root mean square difference of activations; means and standard deviations (n-1) are activations.
-- Caveats: rank is NULL in the layers that the run left out (--skip-last-layers); mean_difference is after - before.
CREATE OR REPLACE VIEW neuron_scores AS
SELECT
    runs.name AS run,
    s.layer,
    s.neuron,
    s.score,
    s.rank,
    s.mean_before,
    s.mean_after,
    s.std_before,
    s.std_after,
    s.n_tokens,
    s.mean_difference,
    s.expert,
    s.run_id
FROM neuron_statistics AS s
JOIN runs USING (run_id)
WHERE runs.status = 'done';
