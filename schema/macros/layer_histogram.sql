-- Purpose: how the k highest-ranked neurons of a locate run spread over the layers.
-- Grain:   one row per ranked layer, layers with none of them included.
-- Parameters:
--   run_name -> runs.name: the locate run
--   k [neurons]: how many of the highest-ranked neurons
-- Columns:
--   layer: the layer, from 0
--   n_neurons [neurons]: how many of them are in the layer
--   share [share]: n_neurons over k
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
