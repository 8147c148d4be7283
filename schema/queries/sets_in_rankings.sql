-- Purpose: How high every finished locate run of models of one size ranks the neurons of a set.
--   chosen_neurons: layer, expert, neuron. k: their number.
WITH sizes AS (
    SELECT run_id, count(rank) AS n_ranked
    FROM neuron_statistics
    GROUP BY run_id
    HAVING count(*) = $n_all AND max(layer) + 1 = $n_layers
),
held AS (
    SELECT
        s.run_id, count(s.rank) AS n_members, count(*) FILTER (s.rank <= $k) AS n_shared, min(s.rank) AS best_rank,
        median(s.rank)::DOUBLE AS median_rank
    FROM neuron_statistics AS s
    JOIN chosen_neurons AS m
        ON m.layer = s.layer AND m.neuron = s.neuron AND m.expert IS NOT DISTINCT FROM s.expert
    GROUP BY s.run_id
)
SELECT
    runs.run_id, runs.name AS run, sizes.n_ranked, held.n_members, held.n_shared, held.n_shared / $k AS share,
    least(1, $k / sizes.n_ranked) AS chance, held.best_rank, held.median_rank
FROM sizes
JOIN runs USING (run_id)
JOIN held USING (run_id)
WHERE runs.kind = 'locate' AND runs.status = 'done' AND runs.config ->> '$.null_of' IS NULL
ORDER BY runs.started_at, runs.run_id
