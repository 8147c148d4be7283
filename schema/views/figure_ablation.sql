-- Purpose: scores against the number of neurons that are taken away, and what that costs: the chart `ablation`.
-- Grain:   one row per run, data set, ablated set (kind 'set'), random control of such a set (kind 'control'), and all
--          of its controls that are as large (kind 'controls'); for sets with a perplexity under the same mode, rows
--          with that as data set, too.
-- Key:     run, variant, dataset
-- Columns:
--   kind: set, control, or controls (mean and range of those as large)
--   run -> runs.name: the patch run
--   series: expression of the set, or of the set controlled, without its size
--   variant: name of the ablated set or control; of controls 'as large as' that of their set
--   control_kind: matched (as many neurons in each layer) or magnitude (and as large); NULL for sets
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   measure: the run's first judge, or perplexity
--   dataset: the data set of the prompts, or 'perplexity of' that of a perplexity run
--   n_prompts [prompts]: prompts with a score under every variant; documents of a perplexity
--   score: mean score with the set ablated; perplexity over that of the unpatched model
--   ci_low: lower end of the change's interval, added to mean_recipient; of the ratio's for perplexities
--   ci_high: upper end of it
--   mean_recipient: mean score of the unpatched model; 1 for perplexities
--   n_controls [controls]: random controls that the row's mean is of, of a set the matched ones; NULL without any
--   control_mean: mean score of the controls; NULL for single controls
--   control_min: lowest score of the controls; NULL for single controls
--   control_max: highest score of the controls; NULL for single controls
--   control_seed: seed of the random control; NULL for others
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   mode: what neurons become: zero, scale:X, mean:RUN or noise:RUN
--   recipient: spec of the model
--   higher_is: whether a higher score is worse (a cost) or better (a reward)
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
    SELECT s.series, s.variant_id AS set_variant_id, s.variant AS set_variant, c.*
    FROM sets AS s
    JOIN found AS c ON c.run_id = s.run_id AND c.control_of = s.variant AND c.dataset = s.dataset
    WHERE c.control_kind IN ('matched', 'magnitude')
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
),
costs AS (
    SELECT DISTINCT ON (s.run_id, s.variant_id)
        s.run_id, s.run, s.series, s.variant, s.variant_id, s.n_neurons, s.fraction, s.mode, s.recipient,
        p.run_id AS text_run_id, p.variant AS text_variant, p.dataset AS text,
        p.n_documents, p.ratio, p.ratio_ci_low, p.ratio_ci_high, p.confidence, p.resamples, p.seed
    FROM sets AS s
    JOIN perplexity AS p ON p.set_id = s.set_id AND p.mode = s.mode AND p.recipient = s.recipient
),
lost AS (
    SELECT c.*, p.variant AS control, p.ratio AS score, p.ratio_ci_low AS low, p.ratio_ci_high AS high,
        p.control_seed, p.control_kind
    FROM costs AS c
    JOIN perplexities AS p
        ON p.run_id = c.text_run_id AND p.control_of = c.text_variant AND p.dataset = c.text
    WHERE p.control_kind IN ('matched', 'magnitude')
),
rows AS (
    SELECT
        'set' AS kind, run_id, variant_id, NULL AS control_kind,
        run, series, variant, n_neurons, fraction, judge AS measure, dataset, n_prompts, mean_patched AS score,
        mean_recipient + change_ci_low AS ci_low,
        mean_recipient + change_ci_high AS ci_high,
        mean_recipient,
        NULL::INTEGER AS control_seed,
        confidence, resamples, seed, mode, recipient
    FROM sets
    UNION ALL
    SELECT
        'control' AS kind, run_id, set_variant_id, control_kind,
        run, series, variant, n_neurons, fraction, judge AS measure, dataset, n_prompts, mean_patched AS score,
        mean_recipient + change_ci_low AS ci_low,
        mean_recipient + change_ci_high AS ci_high,
        mean_recipient, control_seed, confidence, resamples, seed, mode, recipient
    FROM drawn
    UNION ALL
    SELECT
        'set' AS kind, run_id, variant_id, NULL AS control_kind,
        run, series, variant, n_neurons, fraction, 'perplexity' AS measure, 'perplexity of ' || text AS dataset,
        n_documents AS n_prompts, ratio AS score, ratio_ci_low, ratio_ci_high,
        1 AS mean_recipient, NULL AS control_seed, confidence, resamples, seed, mode, recipient
    FROM costs
    UNION ALL
    SELECT
        'control' AS kind, run_id, variant_id, control_kind,
        run, series, control AS variant, n_neurons, fraction, 'perplexity' AS measure,
        'perplexity of ' || text AS dataset, n_documents AS n_prompts, score, low, high,
        1 AS mean_recipient, control_seed, confidence, resamples, seed, mode, recipient
    FROM lost
),
summed AS (
    SELECT
        run_id, variant_id, dataset, control_kind,
        count(*) AS n_controls, avg(score) AS control_mean, min(score) AS control_min, max(score) AS control_max
    FROM rows
    WHERE kind = 'control'
    GROUP BY ALL
)
SELECT
    r.kind, r.run, r.series, r.variant, r.control_kind, r.n_neurons, r.fraction, r.measure, r.dataset,
    r.n_prompts, r.score, r.ci_low, r.ci_high, r.mean_recipient,
    s.n_controls, s.control_mean, s.control_min, s.control_max,
    r.control_seed, r.confidence, r.resamples, r.seed, r.mode, r.recipient,
    coalesce(j.settings ->> '$.higher_is', 'worse') AS higher_is
FROM rows AS r
LEFT JOIN judges AS j ON j.judge = r.measure
LEFT JOIN summed AS s
    ON r.kind = 'set' AND s.run_id = r.run_id AND s.variant_id = r.variant_id AND s.dataset = r.dataset
    AND s.control_kind = 'matched'
UNION ALL
SELECT
    'controls' AS kind, r.run, r.series, 'as large as ' || r.variant AS variant, s.control_kind, r.n_neurons,
    r.fraction, r.measure, r.dataset,
    r.n_prompts, s.control_mean AS score, NULL AS ci_low, NULL AS ci_high, r.mean_recipient,
    s.n_controls, s.control_mean, s.control_min, s.control_max,
    r.control_seed, r.confidence, r.resamples, r.seed, r.mode, r.recipient,
    coalesce(j.settings ->> '$.higher_is', 'worse') AS higher_is
FROM rows AS r
LEFT JOIN judges AS j ON j.judge = r.measure
JOIN summed AS s ON s.run_id = r.run_id AND s.variant_id = r.variant_id AND s.dataset = r.dataset
WHERE r.kind = 'set' AND s.control_kind = 'magnitude';
