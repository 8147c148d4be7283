-- Question: How stable is the ranking across runs that differ in their seed?
-- Grain:    one row per pair of runs.
-- Parameters:
--   $runs: locate runs, separated by commas
--   $percent = 5: how many of the ranked neurons are the top
-- Caveats:  overlap is the share of the top that both have, chance what random tops would share; spearman is over all
--           ranked neurons. `snql overlap` and `snql stability` say more.
WITH chosen AS (
    SELECT run, run_id, n_ranked, greatest(1, round($percent / 100 * n_ranked)) AS k
    FROM locate_runs
    WHERE run IN (SELECT trim(unnest(string_split($runs, ','))))
),
ranked AS (
    SELECT c.run, c.k, c.n_ranked, s.layer, coalesce(s.expert, -1) AS expert, s.neuron, s.rank,
        avg(s.rank) OVER (PARTITION BY c.run, s.score) AS mean_rank
    FROM neuron_scores AS s
    JOIN chosen AS c USING (run_id)
    WHERE s.rank IS NOT NULL
)
SELECT
    a.run AS run_a,
    b.run AS run_b,
    any_value(a.k) AS k,
    count(*) FILTER (a.rank <= a.k AND b.rank <= b.k) AS shared,
    shared / any_value(a.k) AS overlap,
    any_value(a.k / a.n_ranked) AS chance,
    corr(a.mean_rank, b.mean_rank) AS spearman
FROM ranked AS a
JOIN ranked AS b
    ON a.run < b.run AND a.layer = b.layer AND a.expert = b.expert AND a.neuron = b.neuron AND a.n_ranked = b.n_ranked
GROUP BY a.run, b.run
ORDER BY a.run, b.run;
