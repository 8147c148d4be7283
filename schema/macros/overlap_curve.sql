-- Purpose: the overlap of two locate runs at every depth, to be drawn or read at any k.
-- Grain:   one row per k at which the runs share more neurons than at the one before.
-- Parameters:
--   run_a -> runs.name: a locate run
--   run_b -> runs.name: another
-- Columns:
--   k [neurons]: size of the top sets
--   shared [neurons]: neurons in both
--   overlap: shared / k
--   chance: overlap that two random sets of size k have on average
-- Caveats: between two rows shared stays as it is. No rows if the runs rank different neurons.
-- Example: FROM overlap_curve('safety', 'helpful')
CREATE OR REPLACE MACRO overlap_curve(run_a, run_b) AS TABLE
WITH ranked AS (
    SELECT run, layer, coalesce(expert, -1) AS expert, neuron, rank
    FROM neuron_scores
    WHERE run IN (run_a, run_b) AND rank IS NOT NULL
),
sizes AS (
    SELECT max(n) AS n_ranked
    FROM (SELECT count(*) AS n FROM ranked GROUP BY run)
),
joining AS (
    SELECT greatest(a.rank, b.rank) AS k, count(*) AS n
    FROM ranked AS a
    JOIN ranked AS b ON b.layer = a.layer AND b.expert = a.expert AND b.neuron = a.neuron
    WHERE a.run = run_a AND b.run = run_b
    GROUP BY ALL
),
together AS (
    SELECT k, sum(n) OVER (ORDER BY k) AS shared, sum(n) OVER () AS n_both FROM joining
)
SELECT k, shared::BIGINT AS shared, shared / k AS overlap, k / n_ranked AS chance
FROM together, sizes
WHERE n_both = n_ranked
ORDER BY k;
