-- Purpose: what contentless adapters show where a run's own adapter shows something: the band beside each number.
-- Grain:   one row per shuffled locate run (`snql null`), measure and part.
-- Key:     run, measure, part
-- Columns:
--   run -> runs.name: the locate run whose adapter was shuffled
--   measure: skewness, knee, layer, overlap or spearman
--   part: the layer, or the other run; empty where the measure is of the whole ranking
--   value: what the run itself shows; NULL where that is undefined
--   n_draws: finished draws of which the measure is defined
--   null_mean: mean over them
--   null_low: smallest of them
--   null_high: largest of them
--   p_value: chance that a draw shows as much, (1 + draws that do) / (1 + n_draws); NULL without a value
-- Units:   skewness is the bias-corrected one (G1) of the scores; knee is the rank of the knee (see figure_scores) over
--          the ranked neurons; layer is the share of the top 5 % in a layer; overlap is the share of the top 5 % in
--          common with another run of a model of the same shape, spearman the rank correlation with it over all.
-- Caveats: null_low and null_high are extremes of few draws, not quantiles. p_value looks at large values only.
CREATE OR REPLACE VIEW null_distributions AS
WITH draws AS (
    SELECT run_id, null_of, scorer FROM locate_runs WHERE null_of IS NOT NULL
),
shuffled AS (
    SELECT run_id, run, scorer, n_ranked, n_all, n_layers, greatest(1, round(0.05 * n_ranked))::INTEGER AS k
    FROM locate_runs
    WHERE null_of IS NULL AND run IN (SELECT null_of FROM draws)
),
members AS (
    SELECT run, run_id, run_id AS id_real, k, true AS is_real FROM shuffled
    UNION ALL
    SELECT s.run, d.run_id, s.run_id, s.k, false
    FROM shuffled AS s
    JOIN draws AS d ON d.null_of = s.run AND d.scorer = s.scorer
),
others AS (
    SELECT s.run_id AS id_real, o.run_id AS id_other, o.run AS other
    FROM shuffled AS s
    JOIN locate_runs AS o
        ON o.null_of IS NULL AND o.run_id != s.run_id
        AND o.n_ranked = s.n_ranked AND o.n_all = s.n_all AND o.n_layers = s.n_layers
),
ranked AS (
    SELECT
        run_id,
        layer,
        coalesce(expert, -1) AS expert,
        neuron,
        rank,
        score,
        avg(rank) OVER (PARTITION BY run_id, score) AS mean_rank
    FROM neuron_scores
    WHERE rank IS NOT NULL AND run_id IN (SELECT run_id FROM members UNION SELECT id_other FROM others)
),
sizes AS (
    SELECT
        run_id,
        count(*) AS n_ranked,
        min(score) AS lowest,
        max(score) AS highest,
        CASE WHEN count(*) >= 3 AND min(score) < max(score) THEN skewness(score) END AS skewness
    FROM ranked
    WHERE run_id IN (SELECT run_id FROM members)
    GROUP BY run_id
),
knees AS (
    SELECT run_id, r.rank / z.n_ranked AS knee
    FROM ranked AS r
    JOIN sizes AS z USING (run_id)
    WHERE z.highest > z.lowest
    QUALIFY row_number() OVER (
        PARTITION BY run_id
        ORDER BY (r.rank - 1) / (z.n_ranked - 1) + (r.score - z.lowest) / (z.highest - z.lowest), r.rank
    ) = 1
),
shared AS (
    SELECT
        m.run,
        m.run_id,
        m.is_real,
        o.other,
        count(*) FILTER (a.rank <= m.k AND b.rank <= m.k) / m.k AS overlap,
        corr(a.mean_rank, b.mean_rank) AS spearman
    FROM members AS m
    JOIN others AS o USING (id_real)
    JOIN ranked AS a ON a.run_id = m.run_id
    JOIN ranked AS b
        ON b.run_id = o.id_other AND b.layer = a.layer AND b.expert = a.expert AND b.neuron = a.neuron
    GROUP BY m.run, m.run_id, m.is_real, m.k, o.other
),
found AS (
    SELECT m.run, m.is_real, 'skewness' AS measure, '' AS part, z.skewness AS value
    FROM members AS m JOIN sizes AS z USING (run_id)
    UNION ALL
    SELECT m.run, m.is_real, 'knee', '', n.knee
    FROM members AS m JOIN knees AS n USING (run_id)
    UNION ALL
    SELECT m.run, m.is_real, 'layer', r.layer::VARCHAR, count(*) FILTER (r.rank <= m.k) / m.k
    FROM members AS m JOIN ranked AS r USING (run_id)
    GROUP BY m.run, m.is_real, m.run_id, m.k, r.layer
    UNION ALL
    SELECT run, is_real, 'overlap', other, overlap FROM shared
    UNION ALL
    SELECT run, is_real, 'spearman', other, CASE WHEN isfinite(spearman) THEN spearman END FROM shared
),
gathered AS (
    SELECT
        run,
        measure,
        part,
        max(found.value) FILTER (is_real) AS value,
        coalesce(list(found.value) FILTER (NOT is_real AND found.value IS NOT NULL), []) AS drawn
    FROM found
    GROUP BY run, measure, part
)
SELECT
    run,
    measure,
    part,
    value,
    len(drawn) AS n_draws,
    list_avg(drawn) AS null_mean,
    list_min(drawn) AS null_low,
    list_max(drawn) AS null_high,
    CASE
        WHEN value IS NOT NULL AND len(drawn) > 0
        THEN (1 + len(list_filter(drawn, lambda drawn_value: drawn_value >= value))) / (1 + len(drawn))
    END AS p_value
FROM gathered;
