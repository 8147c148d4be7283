-- Purpose: what patching a run's main neuron sets costs or gains under every judge: the chart `tax`.
-- Grain:   one row per run, main set (the headline of figure_effects), judge and data set.
-- Units:   means and change (patched - recipient) are in the judge's units, so compare them within one judge only.
-- Caveats: whether more is better depends on the judge: a cost is better low, a reward better high.
CREATE OR REPLACE VIEW figure_tax AS
SELECT
    run, series, variant, n_neurons, fraction, judge, dataset, n_prompts, mean_recipient, mean_patched, mean_donor, gap,
    gap_ci_low, gap_ci_high, change, change_ci_low, change_ci_high, confidence, resamples, seed, judge_position
FROM figure_effects
WHERE headline;
