-- Purpose: causal effect against number of neurons, with the random controls: the chart `effect-size`.
-- Grain:   one row per run, data set, patched set (kind 'set') and random control of such a set (kind 'control').
-- Key:     run, variant, dataset
-- Columns:
--   kind: set or control
--   run -> runs.name: the patch run
--   series: expression of the set, or of the set controlled, without its size
--   variant: name of the patched set or control
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   judge -> judges.judge: the run's first judge
--   dataset: the data set; * for all of the run's
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   graded [share]: how far the set goes in log-odds where recipient and donor part; NULL where not measured
--   graded_ci_low [share]: lower end of its interval
--   graded_ci_high [share]: upper end of its interval
--   defined: whether there is an effect
--   n_controls [controls]: matched random controls of the set; NULL for controls
--   control_mean [share]: mean effect of the controls; NULL for controls
--   control_min [share]: lowest effect of the controls; NULL for controls
--   control_max [share]: highest effect of the controls; NULL for controls
--   control_seed: seed of the random control; NULL for sets
--   confidence [share]: level of the intervals, such as 0.95
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
--   pooled: whether the row is over all prompts of the run
-- Units:   effect as in causal_effects; n_neurons is the number of neurons patched, fraction its share of all neurons.
-- Caveats: only runs that patched sets of at least two sizes, and only the first judge of each run. Undefined effects
--          are here as NULL. control_mean, control_min and control_max belong to the set and stand in its row only.
CREATE OR REPLACE VIEW figure_effect_size AS
WITH sweeps AS (
    SELECT run_id
    FROM figure_effects
    GROUP BY run_id
    HAVING count(DISTINCT n_neurons) >= 2
),
sets AS (
    SELECT figure_effects.*, m.effect AS graded, m.ci_low AS graded_ci_low, m.ci_high AS graded_ci_high
    FROM figure_effects
    SEMI JOIN sweeps USING (run_id)
    LEFT JOIN margin_effects AS m USING (run_id, variant_id, dataset)
    WHERE judge_position = 1 AND n_neurons IS NOT NULL
)
SELECT
    'set' AS kind,
    run, series, variant, n_neurons, fraction, judge, dataset, n_prompts, effect, ci_low, ci_high, graded,
    graded_ci_low, graded_ci_high, defined, n_controls, control_mean, control_min, control_max,
    NULL::INTEGER AS control_seed,
    confidence, resamples, seed, pooled
FROM sets
UNION ALL
SELECT
    'control' AS kind,
    s.run, s.series, c.variant, c.n_neurons, c.fraction, s.judge, s.dataset, c.n_prompts, c.effect, c.ci_low,
    c.ci_high, c.graded, c.graded_ci_low, c.graded_ci_high, c.defined,
    NULL AS n_controls, NULL AS control_mean, NULL AS control_min, NULL AS control_max,
    c.control_seed,
    c.confidence, c.resamples, c.seed, s.pooled
FROM sets AS s
JOIN causal_effects AS c
    ON c.run_id = s.run_id AND c.control_of = s.variant AND c.judge = s.judge AND c.dataset = s.dataset
WHERE c.control_kind = 'matched';
