-- Purpose: how far the top k of two locate runs agree, beside what chance would give.
-- Grain:   one row, or none if a run is unknown, ranks other neurons than the other, or fewer than k.
-- Parameters:
--   run_a -> runs.name: a locate run
--   run_b -> runs.name: another
--   k [neurons]: size of the top sets
-- Columns:
--   k [neurons]: size of the top sets
--   n_ranked [neurons]: neurons that both runs rank
--   shared [neurons]: neurons in both top sets
--   overlap: shared / k
--   jaccard: shared / neurons in either top set
--   chance: overlap that two random sets of size k have on average
--   p_value: chance of at least so many shared neurons for random sets (hypergeometric), at least 1e-300
--   chance_by_layer: overlap of random sets with as many neurons in each layer as these
--   rank_biased_overlap: agreement at all depths, with an expected depth of k (p = 1 - 1/k)
--   spearman_all: rank correlation of the scores of all ranked neurons
--   spearman_common: the same over the shared neurons; NULL for fewer than three
-- Caveats: spearman_common is high even for rankings that agree on little: read it beside overlap. p_value_by_layer and
--          what chance gives among neurons of like size are in `snql overlap` only.
-- Example: FROM overlap_statistics('safety', 'helpful', 100)
CREATE OR REPLACE MACRO overlap_statistics(run_a, run_b, k) AS TABLE
WITH ranked AS (
    SELECT run, layer, coalesce(expert, -1) AS expert, neuron, rank, score
    FROM neuron_scores
    WHERE run IN (run_a, run_b) AND rank IS NOT NULL
),
means AS (
    SELECT run, score, avg(rank) AS mean_rank FROM ranked GROUP BY run, score
),
both_runs AS (
    SELECT
        a.layer,
        greatest(a.rank, b.rank) AS worse,
        a.rank <= k AS in_a,
        b.rank <= k AS in_b,
        ma.mean_rank AS mean_a,
        mb.mean_rank AS mean_b
    FROM ranked AS a
    JOIN ranked AS b ON b.layer = a.layer AND b.expert = a.expert AND b.neuron = a.neuron
    JOIN means AS ma ON ma.run = a.run AND ma.score = a.score
    JOIN means AS mb ON mb.run = b.run AND mb.score = b.score
    WHERE a.run = run_a AND b.run = run_b
),
totals AS (
    SELECT count(*) AS n_ranked, count(*) FILTER (in_a AND in_b) AS shared, corr(mean_a, mean_b) AS spearman_all
    FROM both_runs
),
by_layer AS (
    SELECT sum(n_a * n_b / n / k) AS chance_by_layer
    FROM (
        SELECT count(*) AS n, count(*) FILTER (in_a) AS n_a, count(*) FILTER (in_b) AS n_b
        FROM both_runs
        GROUP BY layer
    )
),
common AS (
    SELECT
        rank() OVER (ORDER BY mean_a) + (count(*) OVER (PARTITION BY mean_a) - 1) / 2 AS rank_a,
        rank() OVER (ORDER BY mean_b) + (count(*) OVER (PARTITION BY mean_b) - 1) / 2 AS rank_b
    FROM both_runs
    WHERE in_a AND in_b
),
joining AS (
    SELECT worse AS depth, count(*) AS n FROM both_runs GROUP BY worse
),
agreement AS (
    SELECT d.depth, sum(coalesce(j.n, 0)) OVER (ORDER BY d.depth) AS shared
    FROM (SELECT unnest(range(1, n_ranked + 1)) AS depth FROM totals) AS d
    LEFT JOIN joining AS j USING (depth)
),
deep AS (
    SELECT sum(pow(1 - 1 / k, depth - 1) * shared / depth / k) AS weighted FROM agreement
),
tail AS (
    SELECT sum(exp(
        lgamma(k + 1) - lgamma(x + 1) - lgamma(k - x + 1)
        + lgamma(n_ranked - k + 1) - lgamma(k - x + 1) - lgamma(n_ranked - 2 * k + x + 1)
        - lgamma(n_ranked + 1) + lgamma(k + 1) + lgamma(n_ranked - k + 1)
    )) AS p_value
    FROM (SELECT n_ranked, unnest(range(greatest(shared, 2 * k - n_ranked), k + 1)) AS x FROM totals)
)
SELECT
    k AS k,
    n_ranked,
    shared,
    shared / k AS overlap,
    shared / (2 * k - shared) AS jaccard,
    k / n_ranked AS chance,
    least(greatest(p_value, 1e-300), 1) AS p_value,
    chance_by_layer,
    weighted + pow(1 - 1 / k, n_ranked) AS rank_biased_overlap,
    spearman_all,
    (SELECT CASE WHEN count(*) > 2 THEN corr(rank_a, rank_b) END FROM common) AS spearman_common
FROM totals, by_layer, deep, tail
WHERE k BETWEEN 1 AND n_ranked
    AND (SELECT bool_and(n = n_ranked) FROM (SELECT count(*) AS n FROM ranked GROUP BY run));
