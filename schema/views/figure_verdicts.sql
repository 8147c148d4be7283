-- Purpose: which prompts patching a run's main neuron sets fixes, keeps and breaks: the chart `verdicts`.
-- Grain:   one row per run, main set (the headline of figure_sets) and data set ('*': all of a run with several).
-- Key:     run, variant, dataset
-- Columns:
--   run -> runs.name: the patch run
--   series: expression of the set without its size
--   variant: name of the patched set
--   n_neurons [neurons]: size of the set
--   is_window: whether the set is a window of ranks; NULL if it is no part of one ranking
--   dataset: the data set; * for all of the run's
--   judge -> judges.judge: the run's first judge
--   better: low if the judge gives costs, high if it gives rewards
--   at [judge's units]: the limit: a prompt is bad if its score is above it (a cost) or below it (a reward)
--   from_role: whose verdicts patching changes: recipient, or donor where its neurons were frozen
--   mode: what chosen neurons become, such as donor or zero
--   n_prompts [prompts]: prompts with a score under both
--   n_fixed [prompts]: bad before, good when patched
--   n_kept_good [prompts]: good both times
--   n_kept_bad [prompts]: bad both times
--   n_broken [prompts]: good before, bad when patched
--   fixed [share]: n_fixed over those bad before; NULL if none was
--   fixed_ci_low [share]: lower end of its Wilson interval
--   fixed_ci_high [share]: upper end of its Wilson interval
--   broken [share]: n_broken over those good before; NULL if none was
--   broken_ci_low [share]: lower end of its Wilson interval
--   broken_ci_high [share]: upper end of its Wilson interval
--   confidence [share]: level of the intervals, 0.95
-- Units:   counts are of prompts; a prompt's score is the mean over its samples.
-- Caveats: a judge gives rewards if its settings say that higher is better, else costs; the limit is 0. Scores near the
--          limit flip easily. Only the first judge of each run, and prompts that it scored before and after.
CREATE OR REPLACE VIEW figure_verdicts AS
WITH main AS (
    SELECT
        s.*,
        judges.judge,
        CASE WHEN s.frozen THEN 'donor' ELSE 'recipient' END AS from_role,
        CASE WHEN known.settings ->> '$.higher_is' = 'better' THEN 'high' ELSE 'low' END AS better,
        0.0::DOUBLE AS at
    FROM figure_sets AS s
    JOIN figure_judges AS judges ON judges.run_id = s.run_id AND judges.position = 1
    LEFT JOIN judges AS known ON known.judge = judges.judge
    WHERE s.headline
),
scored AS (
    SELECT j.run_id, j.variant_id, j.judge, j.prompt_id, avg(j.score) AS score
    FROM judgements AS j
    SEMI JOIN main ON main.run_id = j.run_id AND main.judge = j.judge
    WHERE j.score IS NOT NULL AND EXISTS (
        FROM variants AS v
        WHERE v.run_id = j.run_id AND v.variant_id = j.variant_id AND v.control_of IS NULL
    )
    GROUP BY j.run_id, j.variant_id, j.judge, j.prompt_id
),
pairs AS (
    SELECT
        main.run_id,
        main.variant_id,
        p.dataset,
        CASE main.better WHEN 'high' THEN before.score < main.at ELSE before.score > main.at END AS bad_before,
        CASE main.better WHEN 'high' THEN after.score < main.at ELSE after.score > main.at END AS bad_after
    FROM main
    JOIN variants AS v ON v.run_id = main.run_id AND v.role = main.from_role
    JOIN scored AS before ON before.run_id = v.run_id AND before.variant_id = v.variant_id
    JOIN scored AS after
        ON after.run_id = main.run_id AND after.variant_id = main.variant_id AND after.prompt_id = before.prompt_id
    JOIN prompts AS p ON p.prompt_id = before.prompt_id
),
counted AS (
    SELECT
        run_id,
        variant_id,
        coalesce(dataset, '*') AS dataset,
        count(*) AS n_prompts,
        count(*) FILTER (bad_before AND NOT bad_after) AS n_fixed,
        count(*) FILTER (NOT bad_before AND NOT bad_after) AS n_kept_good,
        count(*) FILTER (bad_before AND bad_after) AS n_kept_bad,
        count(*) FILTER (NOT bad_before AND bad_after) AS n_broken
    FROM pairs
    GROUP BY GROUPING SETS ((run_id, variant_id, dataset), (run_id, variant_id))
    QUALIFY grouping(dataset) = 0 OR count(*) OVER (PARTITION BY run_id, variant_id) > 2
)
SELECT
    main.run,
    main.series,
    main.variant,
    main.n_neurons,
    main.is_window,
    counted.dataset,
    main.judge,
    main.better,
    main.at,
    main.from_role,
    main.mode,
    counted.n_prompts,
    counted.n_fixed,
    counted.n_kept_good,
    counted.n_kept_bad,
    counted.n_broken,
    n_fixed / nullif(n_fixed + n_kept_bad, 0) AS fixed,
    wilson_interval(n_fixed, n_fixed + n_kept_bad).low AS fixed_ci_low,
    wilson_interval(n_fixed, n_fixed + n_kept_bad).high AS fixed_ci_high,
    n_broken / nullif(n_broken + n_kept_good, 0) AS broken,
    wilson_interval(n_broken, n_broken + n_kept_good).low AS broken_ci_low,
    wilson_interval(n_broken, n_broken + n_kept_good).high AS broken_ci_high,
    0.95::DOUBLE AS confidence
FROM counted
JOIN main USING (run_id, variant_id);
