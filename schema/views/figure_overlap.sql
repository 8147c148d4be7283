-- Purpose: how far two rankings agree, for all pairs of comparable locate runs: the chart `overlap`.
-- Grain:   one row per pair of finished locate runs of models of the same shape, run_a before run_b by name.
-- Key:     run_a, run_b
-- Columns:
--   run_a -> runs.name: the run that comes first by name
--   run_b -> runs.name: the other run
--   k [neurons]: size of the top sets
--   n_ranked [neurons]: ranked neurons of each run
--   n_matched [neurons]: neurons ranked in both runs
--   n_common [neurons]: neurons in both top sets
--   overlap [share]: n_common over k
--   jaccard [share]: n_common over the neurons in either top set
--   chance [share]: what overlap would be for random sets of k
--   spearman_all: Spearman's coefficient over all ranked neurons; NULL where all scores are equal
--   spearman_common: the same over the neurons in both top sets; NULL where there are fewer than three
--   null_of -> runs.name: run that was shuffled (`snql null`); where draws of both are there, the one of larger p
--   n_draws: contentless adapters that were made of it; 0 when there are none
--   null_low [share]: smallest overlap of a draw with the other run
--   null_high [share]: largest overlap of a draw with the other run
--   null_p_value: chance that a draw shares as much
-- Units:   overlap is |A and B| / k for the top k = round(5 % of the ranked neurons) of each run; chance is k over the
--          number of ranked neurons; Spearman coefficients are of change scores, with ties at their mean rank.
-- Caveats: spearman_common is over the neurons in both top sets only. It says nothing about how many there are, and
--          two rankings that share few neurons can have a high one: read it beside overlap and spearman_all. NULL
--          where fewer than three neurons are in common or all scores are equal.
CREATE OR REPLACE VIEW figure_overlap AS
WITH sized AS (
    SELECT run_id, run, n_ranked, n_all, n_layers, greatest(1, round(0.05 * n_ranked))::INTEGER AS k
    FROM locate_runs
    WHERE n_ranked > 0 AND null_of IS NULL
),
pairs AS (
    SELECT a.run_id AS id_a, b.run_id AS id_b, a.run AS run_a, b.run AS run_b, a.k, a.n_ranked
    FROM sized AS a
    JOIN sized AS b
        ON a.run < b.run AND a.n_ranked = b.n_ranked AND a.n_all = b.n_all AND a.n_layers = b.n_layers
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
    WHERE rank IS NOT NULL AND run_id IN (SELECT run_id FROM sized)
),
matched AS (
    SELECT
        p.id_a,
        p.id_b,
        a.mean_rank AS mean_rank_a,
        b.mean_rank AS mean_rank_b,
        a.score AS score_a,
        b.score AS score_b,
        a.rank <= p.k AND b.rank <= p.k AS common
    FROM pairs AS p
    JOIN ranked AS a ON a.run_id = p.id_a
    JOIN ranked AS b
        ON b.run_id = p.id_b AND b.layer = a.layer AND b.expert = a.expert AND b.neuron = a.neuron
),
over_all AS (
    SELECT id_a, id_b, count(*) AS n_matched, count(*) FILTER (common) AS n_common,
        corr(mean_rank_a, mean_rank_b) AS spearman_all
    FROM matched
    GROUP BY id_a, id_b
),
common_ranks AS (
    SELECT
        id_a,
        id_b,
        rank() OVER by_a + (count(*) OVER same_a - 1) / 2 AS rank_a,
        rank() OVER by_b + (count(*) OVER same_b - 1) / 2 AS rank_b
    FROM matched
    WHERE common
    WINDOW
        by_a AS (PARTITION BY id_a, id_b ORDER BY score_a),
        by_b AS (PARTITION BY id_a, id_b ORDER BY score_b),
        same_a AS (PARTITION BY id_a, id_b, score_a),
        same_b AS (PARTITION BY id_a, id_b, score_b)
),
over_common AS (
    SELECT id_a, id_b, CASE WHEN count(*) >= 3 THEN corr(rank_a, rank_b) END AS spearman_common
    FROM common_ranks
    GROUP BY id_a, id_b
),
nulls AS (
    SELECT
        least(run, part) AS run_a,
        greatest(run, part) AS run_b,
        run AS null_of,
        n_draws,
        null_low,
        null_high,
        p_value
    FROM null_distributions
    WHERE measure = 'overlap' AND n_draws > 0
    QUALIFY row_number() OVER (PARTITION BY least(run, part), greatest(run, part) ORDER BY p_value DESC, run) = 1
)
SELECT
    p.run_a,
    p.run_b,
    p.k,
    p.n_ranked,
    o.n_matched,
    o.n_common,
    o.n_common / p.k AS overlap,
    o.n_common / (2 * p.k - o.n_common) AS jaccard,
    p.k / p.n_ranked AS chance,
    CASE WHEN isfinite(o.spearman_all) THEN o.spearman_all END AS spearman_all,
    CASE WHEN isfinite(c.spearman_common) THEN c.spearman_common END AS spearman_common,
    n.null_of,
    coalesce(n.n_draws, 0) AS n_draws,
    n.null_low,
    n.null_high,
    n.p_value AS null_p_value
FROM pairs AS p
JOIN over_all AS o USING (id_a, id_b)
LEFT JOIN over_common AS c USING (id_a, id_b)
LEFT JOIN nulls AS n USING (run_a, run_b);
