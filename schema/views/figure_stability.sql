-- Purpose: how far rankings from two halves of the prompts agree, in runs with --bootstrap: the chart `stability`.
-- Grain:   one row per finished locate run with sums per prompt, split of its prompts and size of the top set.
-- Key:     run, split, k
-- Columns:
--   run -> runs.name: the locate run
--   split: number of the split, from 1 to 5
--   k [neurons]: size of the top set
--   fraction [share]: the largest of 0.5, 1, 2, 5, 10 and 20 % of the ranked neurons that k is, rounded
--   n_ranked [neurons]: ranked neurons of the run
--   n_prompts [prompts]: prompts of the run with sums; half of them, rounded down, are in the first half
--   n_shared [neurons]: neurons in the top k of both halves
--   overlap [share]: n_shared over k
--   chance [share]: what overlap would be for random sets: k over n_ranked
--   spearman: Spearman's coefficient of the halves' scores over the ranked neurons; NULL where all are equal
--   reliability: of all prompts together, 2 * spearman / (1 + spearman); NULL where spearman is, or is -1
-- Units:   as in `snql stability`: change scores of each half, compared over the neurons that the run ranks.
-- Caveats: the splits are fixed: in split s, the prompts stand in order of md5 of the hash of their text, a colon and
--          s, and the first half of them is the first half. Splits of the same prompts depend on each other: their
--          spread is no confidence interval. A half has half the prompts: the whole ranking is more stable than its
--          halves. A neuron that no token of a half reached (mixture of experts) is last in it, and not in spearman.
CREATE OR REPLACE VIEW figure_stability AS
WITH asked AS (
    SELECT r.run_id, r.prompt_id, coalesce(p.sha256, '') AS sha256
    FROM (SELECT DISTINCT run_id, prompt_id FROM prompt_sums) AS r
    SEMI JOIN locate_runs USING (run_id)
    LEFT JOIN prompts AS p USING (prompt_id)
),
placed AS (
    SELECT
        run_id,
        prompt_id,
        split,
        row_number() OVER (PARTITION BY run_id, split ORDER BY md5(sha256 || ':' || split), prompt_id) AS place,
        count(*) OVER (PARTITION BY run_id, split) AS n_prompts
    FROM asked
    CROSS JOIN range(1, 6) AS splits(split)
),
halves AS (
    -- One bit for each split: set in the first half.
    SELECT run_id, prompt_id, sum(CASE WHEN place <= n_prompts // 2 THEN 1 << split ELSE 0 END)::INTEGER AS bits
    FROM placed
    GROUP BY run_id, prompt_id
),
summed AS (
    SELECT
        s.run_id, s.layer, s.expert, s.neuron,
        sum(s.squared_differences) FILTER (h.bits & 2 > 0) AS a1, sum(s.n_tokens) FILTER (h.bits & 2 > 0) AS m1,
        sum(s.squared_differences) FILTER (h.bits & 2 = 0) AS b1, sum(s.n_tokens) FILTER (h.bits & 2 = 0) AS n1,
        sum(s.squared_differences) FILTER (h.bits & 4 > 0) AS a2, sum(s.n_tokens) FILTER (h.bits & 4 > 0) AS m2,
        sum(s.squared_differences) FILTER (h.bits & 4 = 0) AS b2, sum(s.n_tokens) FILTER (h.bits & 4 = 0) AS n2,
        sum(s.squared_differences) FILTER (h.bits & 8 > 0) AS a3, sum(s.n_tokens) FILTER (h.bits & 8 > 0) AS m3,
        sum(s.squared_differences) FILTER (h.bits & 8 = 0) AS b3, sum(s.n_tokens) FILTER (h.bits & 8 = 0) AS n3,
        sum(s.squared_differences) FILTER (h.bits & 16 > 0) AS a4, sum(s.n_tokens) FILTER (h.bits & 16 > 0) AS m4,
        sum(s.squared_differences) FILTER (h.bits & 16 = 0) AS b4, sum(s.n_tokens) FILTER (h.bits & 16 = 0) AS n4,
        sum(s.squared_differences) FILTER (h.bits & 32 > 0) AS a5, sum(s.n_tokens) FILTER (h.bits & 32 > 0) AS m5,
        sum(s.squared_differences) FILTER (h.bits & 32 = 0) AS b5, sum(s.n_tokens) FILTER (h.bits & 32 = 0) AS n5
    FROM prompt_sums AS s
    JOIN halves AS h USING (run_id, prompt_id)
    GROUP BY s.run_id, s.layer, s.expert, s.neuron
),
scored AS (
    SELECT
        s.run_id, s.layer, s.expert, s.neuron,
        unnest([1, 2, 3, 4, 5]) AS split,
        sqrt(unnest([a1 / m1, a2 / m2, a3 / m3, a4 / m4, a5 / m5])) AS a,
        sqrt(unnest([b1 / n1, b2 / n2, b3 / n3, b4 / n4, b5 / n5])) AS b
    FROM summed AS s
    JOIN neuron_statistics AS t
        ON t.run_id = s.run_id AND t.layer = s.layer AND t.neuron = s.neuron AND t.expert IS NOT DISTINCT FROM s.expert
    WHERE t.rank IS NOT NULL
),
ranked AS (
    SELECT
        run_id,
        split,
        greatest(
            row_number() OVER (PARTITION BY run_id, split ORDER BY a DESC NULLS LAST, layer, expert, neuron),
            row_number() OVER (PARTITION BY run_id, split ORDER BY b DESC NULLS LAST, layer, expert, neuron)
        ) AS worse,
        a IS NOT NULL AND b IS NOT NULL AS known,
        -- First and last place of equal scores: twice their mean rank, which a correlation does not mind.
        rank() OVER by_a + count(*) OVER by_a AS rank_a,
        rank() OVER by_b + count(*) OVER by_b AS rank_b
    FROM scored
    WINDOW
        by_a AS (PARTITION BY run_id, split, a IS NULL OR b IS NULL ORDER BY a),
        by_b AS (PARTITION BY run_id, split, a IS NULL OR b IS NULL ORDER BY b)
),
compared AS (
    SELECT
        run_id,
        split,
        count(*) AS n_scored,
        corr(rank_a, rank_b) FILTER (known) AS rho,
        CASE WHEN isfinite(rho) THEN rho END AS spearman
    FROM ranked
    GROUP BY run_id, split
),
sizes AS (
    SELECT run_id, run, n_ranked, max(fraction) AS fraction, k
    FROM (
        SELECT run_id, run, n_ranked, fraction, greatest(1, round(fraction * n_ranked))::INTEGER AS k
        FROM locate_runs
        CROSS JOIN (VALUES (0.005::DOUBLE), (0.01), (0.02), (0.05), (0.1), (0.2)) AS shares(fraction)
    )
    GROUP BY run_id, run, n_ranked, k
),
shared AS (
    SELECT r.run_id, r.split, z.k, count(*) FILTER (r.worse <= z.k) AS n_shared
    FROM (SELECT run_id, split, worse FROM ranked) AS r
    JOIN sizes AS z USING (run_id)
    GROUP BY r.run_id, r.split, z.k
)
SELECT
    z.run,
    c.split,
    z.k,
    z.fraction,
    z.n_ranked,
    (SELECT count(*) FROM asked AS a WHERE a.run_id = z.run_id) AS n_prompts,
    s.n_shared,
    s.n_shared / z.k AS overlap,
    z.k / z.n_ranked AS chance,
    c.spearman,
    2 * c.spearman / nullif(1 + c.spearman, 0) AS reliability
FROM sizes AS z
JOIN compared AS c USING (run_id)
JOIN shared AS s USING (run_id, split, k);
