-- Purpose: scores against the number of neurons that are taken away, and what that costs: the chart `ablation`.
-- Grain:   one row per run, data set, ablated set (kind 'set') and random control of such a set (kind 'control'); for
--          sets with a perplexity under the same mode, a row with that as data set, too.
-- Key:     run, variant, dataset
-- Columns:
--   kind: set or control
--   run -> runs.name: the patch run
--   series: expression of the set, or of the set controlled, without its size
--   variant: name of the ablated set or control
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   measure: the run's first judge, or perplexity
--   dataset: the data set of the prompts, or 'perplexity of' that of a perplexity run
--   n_prompts [prompts]: prompts with a score under every variant; documents of a perplexity
--   score: mean score with the set ablated; perplexity over that of the unpatched model
--   ci_low: lower end of the change's interval, added to mean_recipient; of the ratio's for perplexities
--   ci_high: upper end of it
--   mean_recipient: mean score of the unpatched model; 1 for perplexities
--   n_controls [controls]: matched random controls of the set; NULL for controls, and without any
--   control_mean: mean score of the controls; NULL for controls
--   control_min: lowest score of the controls; NULL for controls and perplexities
--   control_max: highest score of the controls; NULL for controls and perplexities
--   control_seed: seed of the random control; NULL for sets
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   mode: what neurons become: zero, scale:X, mean:RUN or noise:RUN
--   recipient: spec of the model
-- Units:   scores are in the judge's units, of refusal a share of the prompts; perplexities are ratios.
-- Caveats: only runs with a mode that needs no donor, sets of at least two sizes, and each run's first judge. Of
--          several perplexity runs of a set the last counts.
CREATE OR REPLACE VIEW figure_ablation AS
WITH ablations AS (
    SELECT run_id, config ->> '$.mode' AS mode, config ->> '$.recipient' AS recipient
    FROM runs
    WHERE kind = 'patch' AND status = 'done' AND NOT starts_with(config ->> '$.mode', 'donor')
),
found AS (
    SELECT c.*, a.mode, a.recipient
    FROM causal_effects AS c
    JOIN ablations AS a USING (run_id)
    JOIN figure_judges AS judges USING (run_id, judge)
    WHERE judges.position = 1 AND c.dataset <> '*'
),
sets AS (
    SELECT found.*, kinds.series
    FROM found
    JOIN figure_sets AS kinds USING (run_id, variant_id)
    QUALIFY count(DISTINCT found.n_neurons) OVER (PARTITION BY found.run_id) >= 2
),
drawn AS (
    SELECT s.series, s.variant_id AS set_variant_id, c.*
    FROM sets AS s
    JOIN found AS c ON c.run_id = s.run_id AND c.control_of = s.variant AND c.dataset = s.dataset
    WHERE c.control_kind = 'matched'
),
controls AS (
    SELECT
        run_id,
        set_variant_id AS variant_id,
        dataset,
        count(*) AS n_controls,
        avg(mean_patched) AS control_mean,
        min(mean_patched) AS control_min,
        max(mean_patched) AS control_max
    FROM drawn
    GROUP BY ALL
),
perplexity AS (
    SELECT p.*, runs.config ->> '$.mode' AS mode, runs.config ->> '$.model' AS recipient
    FROM perplexities AS p
    JOIN runs USING (run_id)
    WHERE p.set_id IS NOT NULL AND p.control_of IS NULL
    QUALIFY row_number() OVER (
        PARTITION BY p.set_id, runs.config ->> '$.mode', runs.config ->> '$.model'
        ORDER BY p.dataset = '*' DESC, p.run_id DESC, p.dataset
    ) = 1
)
SELECT
    'set' AS kind,
    run, series, variant, n_neurons, fraction, judge AS measure, dataset, n_prompts, mean_patched AS score,
    mean_recipient + change_ci_low AS ci_low,
    mean_recipient + change_ci_high AS ci_high,
    mean_recipient, n_controls, control_mean, control_min, control_max,
    NULL::INTEGER AS control_seed,
    confidence, resamples, seed, mode, recipient
FROM (SELECT * EXCLUDE (n_controls) FROM sets)
LEFT JOIN controls USING (run_id, variant_id, dataset)
UNION ALL
SELECT
    'control' AS kind,
    run, series, variant, n_neurons, fraction, judge AS measure, dataset, n_prompts, mean_patched AS score,
    mean_recipient + change_ci_low AS ci_low,
    mean_recipient + change_ci_high AS ci_high,
    mean_recipient, NULL AS n_controls, NULL AS control_mean, NULL AS control_min, NULL AS control_max,
    control_seed, confidence, resamples, seed, mode, recipient
FROM drawn
UNION ALL
SELECT DISTINCT ON (s.run_id, s.variant_id)
    'set' AS kind,
    s.run, s.series, s.variant, s.n_neurons, s.fraction,
    'perplexity' AS measure,
    'perplexity of ' || p.dataset AS dataset,
    p.n_documents AS n_prompts,
    p.ratio AS score,
    p.ratio_ci_low AS ci_low,
    p.ratio_ci_high AS ci_high,
    1 AS mean_recipient, p.n_controls,
    p.controls_ratio AS control_mean,
    NULL AS control_min, NULL AS control_max, NULL AS control_seed,
    p.confidence, p.resamples, p.seed, s.mode, s.recipient
FROM sets AS s
JOIN perplexity AS p ON p.set_id = s.set_id AND p.mode = s.mode AND p.recipient = s.recipient;
