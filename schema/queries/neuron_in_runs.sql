-- Purpose: One neuron in some locate runs: its numbers, its rank in its layer, whether its tokens are kept.
WITH mine AS (
    SELECT * FROM neuron_statistics
    WHERE layer = $layer AND neuron = $neuron AND expert IS NOT DISTINCT FROM $expert
        AND run_id IN (SELECT unnest($runs))
),
peers AS (
    SELECT mine.run_id, count(s.score) AS n_in_layer, count(*) FILTER (s.score > mine.score) + 1 AS rank_in_layer
    FROM mine JOIN neuron_statistics AS s USING (run_id) WHERE s.layer = $layer
    GROUP BY mine.run_id
),
kept AS (
    SELECT run_id FROM runs JOIN neuron_set_members AS m ON m.set_id = kept_set_id
    WHERE m.layer = $layer AND m.neuron = $neuron AND m.expert IS NOT DISTINCT FROM $expert
    UNION  -- runs of old databases do not say what they keep; they keep it in rows
    SELECT DISTINCT a.run_id FROM activation_rows AS a JOIN runs USING (run_id)
    WHERE runs.kept_set_id IS NULL
        AND a.layer = $layer AND a.neuron = $neuron AND a.expert IS NOT DISTINCT FROM $expert
)
SELECT
    runs.name AS run,
    runs.config ->> '$.before' AS model_before,
    runs.config ->> '$.after' AS model_after,
    mine.rank,
    sizes.n_ranked,
    100 * mine.rank / sizes.n_ranked AS top_percent,
    mine.score,
    i.ci_low,
    i.ci_high,
    i.standard_error,
    i.top_share,
    CASE WHEN mine.score IS NOT NULL THEN peers.rank_in_layer END AS rank_in_layer,
    peers.n_in_layer,
    mine.mean_before,
    mine.mean_after,
    mine.mean_difference,
    mine.std_before,
    mine.std_after,
    mine.n_tokens,
    kept.run_id IS NOT NULL AS kept,
    runs.run_id
FROM mine
JOIN runs USING (run_id)
JOIN (SELECT unnest($runs) AS run_id, unnest($ranked) AS n_ranked) AS sizes USING (run_id)
JOIN peers USING (run_id)
LEFT JOIN kept USING (run_id)
LEFT JOIN score_intervals AS i
    ON i.run_id = mine.run_id AND i.layer = $layer AND i.neuron = $neuron AND i.expert IS NOT DISTINCT FROM $expert
ORDER BY runs.started_at, runs.run_id
