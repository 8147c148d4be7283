-- Purpose: share of neurons that the top k of two locate runs have in common.
-- Grain:   a scalar between 0 and 1: |A and B| / k.
-- Parameters:
--   run_a -> runs.name: a locate run
--   run_b -> runs.name: another
--   k [neurons]: size of the top sets
-- Caveats: chance is about k over the number of ranked neurons, more when both runs favour the same layers: see
--          `snql overlap`. NULL when a run is unknown or has fewer than k ranked neurons.
-- Example: SELECT overlap_at('safety', 'helpful', 100)
CREATE OR REPLACE MACRO overlap_at(run_a, run_b, k) AS (
    SELECT CASE
        WHEN k >= 1 AND (SELECT count(*) FROM neuron_scores WHERE run = run_a AND rank <= k) = k
         AND (SELECT count(*) FROM neuron_scores WHERE run = run_b AND rank <= k) = k
        THEN count(*) / k
    END
    FROM neuron_scores AS a
    JOIN neuron_scores AS b
        ON a.layer = b.layer AND a.neuron = b.neuron AND a.expert IS NOT DISTINCT FROM b.expert
    WHERE a.run = run_a AND b.run = run_b AND a.rank <= k AND b.rank <= k
);
