-- Purpose: graded effect against number of neurons, with the random controls: the chart `graded-effects`.
-- Grain:   one row per run, data set, patched set (kind 'set') and random control of such a set (kind 'control').
-- Key:     run, variant, dataset
-- Columns:
--   kind: set or control
--   run -> runs.name: the patch run
--   series: expression of the set, or of the set controlled, without its size
--   variant: name of the patched set or control
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts on which recipient and donor part
--   n_same [prompts]: those on which they write the same
--   effect [share]: graded effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   crossed [share]: prompts where the patched variant finds the donor's token likelier than the recipient's
--   n_controls [controls]: matched random controls of the set; NULL for controls
--   control_mean [share]: mean effect of the controls; NULL for controls
--   control_min [share]: lowest effect of the controls; NULL for controls
--   control_max [share]: highest effect of the controls; NULL for controls
--   control_seed: seed of the random control; NULL for sets
--   confidence [share]: level of the intervals, such as 0.95
--   pooled: whether the row is over all prompts of the run
-- Units:   effect as graded in graded_effects; n_neurons is the number of neurons patched, fraction its share of all.
-- Caveats: finished runs with margins, of any number of sets. control_mean, control_min and control_max belong to the
--          set and stand in its row only.
CREATE OR REPLACE VIEW figure_graded_effects AS
WITH found AS (
    SELECT DISTINCT ON (run_id, variant_id, dataset)
        g.*,
        g.dataset = '*' OR count(DISTINCT g.dataset) OVER (PARTITION BY g.run_id) = 1 AS pooled
    FROM graded_effects AS g
    JOIN runs USING (run_id)
    WHERE runs.status = 'done'
),
sets AS (
    SELECT found.*, kinds.series
    FROM found
    JOIN figure_sets AS kinds USING (run_id, variant_id)
    WHERE found.n_neurons IS NOT NULL
),
controls AS (
    SELECT s.series, s.pooled AS of_pooled, s.variant_id AS of_id, c.*
    FROM sets AS s
    JOIN found AS c ON c.run_id = s.run_id AND c.control_of = s.variant AND c.dataset = s.dataset
    WHERE c.control_kind = 'matched'
),
summaries AS (
    SELECT
        run_id,
        of_id AS variant_id,
        dataset,
        count(*) AS n_controls,
        avg(graded) AS control_mean,
        min(graded) AS control_min,
        max(graded) AS control_max
    FROM controls
    GROUP BY run_id, of_id, dataset
)
SELECT
    'set' AS kind,
    s.run, s.series, s.variant, s.n_neurons, s.fraction, s.dataset, s.n_prompts, s.n_same, s.graded AS effect,
    s.graded_ci_low AS ci_low, s.graded_ci_high AS ci_high, s.crossed,
    coalesce(c.n_controls, 0) AS n_controls, c.control_mean, c.control_min, c.control_max,
    NULL::INTEGER AS control_seed,
    s.confidence, s.pooled
FROM sets AS s
LEFT JOIN summaries AS c USING (run_id, variant_id, dataset)
UNION ALL
SELECT
    'control' AS kind,
    run, series, variant, n_neurons, fraction, dataset, n_prompts, n_same, graded AS effect,
    graded_ci_low AS ci_low, graded_ci_high AS ci_high, crossed,
    NULL AS n_controls, NULL AS control_mean, NULL AS control_min, NULL AS control_max,
    control_seed,
    confidence, of_pooled AS pooled
FROM controls;
