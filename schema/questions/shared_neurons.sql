-- Question: Which neurons do these runs share at the top?
-- Grain:    one row per neuron that is among the top neurons of every run, best mean rank first.
-- Parameters:
--   $runs: locate runs, separated by commas
--   $percent = 5: how many of the ranked neurons are the top
-- Caveats:  some are shared by chance: `snql overlap` says how many.
WITH chosen AS (
    SELECT run, run_id, greatest(1, round($percent / 100 * n_ranked)) AS k
    FROM locate_runs
    WHERE run IN (SELECT trim(unnest(string_split($runs, ','))))
),
tops AS (
    SELECT s.layer, s.expert, s.neuron, s.run, s.rank, s.mean_before, s.mean_after
    FROM neuron_scores AS s
    JOIN chosen USING (run_id)
    WHERE s.rank <= chosen.k
)
SELECT
    neuron_name(layer, expert, neuron) AS name,
    layer,
    expert,
    neuron,
    avg(rank) AS mean_rank,
    max(rank) AS worst_rank,
    string_agg(run || ' ' || rank, ', ' ORDER BY rank) AS ranks
FROM tops
GROUP BY layer, expert, neuron
HAVING count(*) = (SELECT count(*) FROM chosen) AND count(*) = len(string_split($runs, ','))
ORDER BY mean_rank, layer, expert, neuron;
