-- Purpose: the effect of a run's main neuron sets on each of its data sets: the chart `transfer`.
-- Grain:   one row per run, main set (the headline of figure_effects) and data set, for runs with several data sets.
-- Key:     run, variant, dataset
-- Columns:
--   run -> runs.name: the patch run
--   series: expression of the set without its size
--   variant: name of the patched set
--   n_neurons [neurons]: size of the set
--   fraction [share]: n_neurons over all neurons of the model
--   dataset: the data set; * for all of the run's
--   judge -> judges.judge: the run's first judge
--   n_prompts [prompts]: prompts with a score under every variant
--   effect [share]: causal effect; NULL where it is undefined
--   ci_low [share]: lower end of the effect's interval
--   ci_high [share]: upper end of the effect's interval
--   defined: whether there is an effect
--   confidence [share]: level of the intervals, such as 0.95
--   n_controls [controls]: matched random controls
--   n_controls_reaching [controls]: those with an effect at least as large as the set's
--   control_mean [share]: mean effect of the controls
--   control_min [share]: lowest effect of the controls
--   control_max [share]: highest effect of the controls
--   resamples: bootstrap resamples of the prompts; 0: none, intervals are by formula
--   seed: seed of the run's draws
-- Units:   as in figure_effects; dataset '*' is all of them together.
-- Caveats: only the first judge of each run. Undefined effects are here as NULL.
CREATE OR REPLACE VIEW figure_transfer AS
WITH several AS (
    SELECT run_id
    FROM figure_effects
    WHERE dataset <> '*'
    GROUP BY run_id
    HAVING count(DISTINCT dataset) >= 2
)
SELECT
    run, series, variant, n_neurons, fraction, dataset, judge, n_prompts, effect, ci_low, ci_high, defined, confidence,
    n_controls, n_controls_reaching, control_mean, control_min, control_max, resamples, seed
FROM figure_effects
SEMI JOIN several USING (run_id)
WHERE headline AND judge_position = 1;
