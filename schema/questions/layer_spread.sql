-- Question: How are a run's top neurons spread over the layers?
-- Grain:    one row per ranked layer, layers with none of them included.
-- Parameters:
--   $run: a locate run
--   $percent = 5: how many of the ranked neurons are the top
-- Caveats:  enrichment is the layer's share of the top over its share of all ranked neurons: 1 is chance.
WITH chosen AS (
    SELECT run_id, n_ranked, greatest(1, round($percent / 100 * n_ranked)) AS k FROM locate_runs WHERE run = $run
)
SELECT
    s.layer,
    count(*) AS n_ranked,
    count(*) FILTER (s.rank <= c.k) AS n_top,
    n_top / any_value(c.k) AS share,
    share / (count(*) / any_value(c.n_ranked)) AS enrichment
FROM neuron_scores AS s
JOIN chosen AS c USING (run_id)
WHERE s.rank IS NOT NULL
GROUP BY s.layer
ORDER BY s.layer;
