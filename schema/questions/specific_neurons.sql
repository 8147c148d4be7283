-- Question: Which neurons are specific to one run: at its top, and at the top of none of the others?
-- Grain:    one row per neuron, best rank first.
-- Parameters:
--   $run: the locate run, such as safety
--   $others: locate runs to compare with, separated by commas
--   $percent = 5: how many of the ranked neurons are the top
-- Caveats:  a neuron just below the cut of another run is here, too: read best_other_rank.
WITH limits AS (
    SELECT run, run_id, greatest(1, round($percent / 100 * n_ranked)) AS k FROM locate_runs
),
others AS (
    SELECT
        s.layer,
        coalesce(s.expert, -1) AS expert,
        s.neuron,
        min(s.rank) AS best_other_rank,
        bool_or(s.rank <= k) AS shared
    FROM neuron_scores AS s
    JOIN limits USING (run_id)
    WHERE limits.run IN (SELECT trim(unnest(string_split($others, ','))))
    GROUP BY ALL
)
SELECT
    neuron_name(s.layer, s.expert, s.neuron) AS name,
    s.layer,
    s.expert,
    s.neuron,
    s.rank,
    s.score,
    s.mean_before,
    s.mean_after,
    o.best_other_rank
FROM neuron_scores AS s
JOIN limits USING (run_id)
JOIN others AS o ON o.layer = s.layer AND o.expert = coalesce(s.expert, -1) AND o.neuron = s.neuron
WHERE limits.run = $run AND s.rank <= limits.k AND NOT coalesce(o.shared, false)
ORDER BY s.rank;
