-- Purpose: the effect of a run's main neuron sets on each of its data sets: the chart `transfer`.
-- Grain:   one row per run, main set (the headline of figure_effects) and data set, for runs with several data sets.
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
