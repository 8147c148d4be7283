-- Purpose: how the k highest-ranked neurons of a locate run spread over the layers.
-- Grain:   one row per ranked layer, layers with none of them included.
-- Example: FROM layer_histogram('safety', 100)
CREATE OR REPLACE MACRO layer_histogram(run_name, k) AS TABLE
SELECT
    layer,
    count(*) FILTER (rank <= k) AS n_neurons,
    count(*) FILTER (rank <= k) / k AS share
FROM neuron_scores
WHERE run = run_name AND rank IS NOT NULL
GROUP BY layer
ORDER BY layer;
